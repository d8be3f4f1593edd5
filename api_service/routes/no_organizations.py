"""The routes of organizations with ORGANIZATIONS=off."""

from flask import Blueprint, Response

from api_service.errors import NoOrganizationsError

METHODS = ("GET", "POST", "PATCH", "DELETE")

blueprint = Blueprint("no_organizations", __name__, url_prefix="/v1")


@blueprint.route("/organizations/<path:_rest>", methods=METHODS)
@blueprint.route("/invitations/<path:_rest>", methods=METHODS)
def refuse(_rest: str) -> Response:
    """Refuse any request."""
    raise NoOrganizationsError
