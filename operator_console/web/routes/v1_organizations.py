"""/v1/organizations: how organizations' databases were found, and asking for a repair."""

from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, jsonify

from operator_console.acting import Repair, UnknownOrganizationError, repair
from operator_console.operator_tokens import Scope
from operator_console.reading import list_organizations, show_organization
from operator_console.views import as_json
from operator_console.web.access import asker, needs
from operator_console.web.pages import with_next_page
from operator_console.web.queries import read_query
from operator_console.web.schemas import OrganizationsQuery, ReasonSchema
from operator_console.web.services import services
from shared.web.bodies import read_body

blueprint = Blueprint("v1_organizations", __name__, url_prefix="/v1/organizations")


@blueprint.get("")
@needs(Scope.READ)
def get_organizations() -> Response:
    """List organizations, newest first, page by page."""
    asked = read_query(OrganizationsQuery())
    with services().sessions.begin() as session:
        found = list_organizations(
            session, health=asked.get("health"), limit=asked["limit"], cursor=asked.get("cursor")
        )
    return with_next_page(jsonify(as_json(found)), ".get_organizations", found.next_cursor)


@blueprint.get("/<uuid:organization_id>")
@needs(Scope.READ)
def get_organization(organization_id: UUID) -> Response:
    """Show one with its steps and what of it was lost."""
    with services().sessions.begin() as session:
        found = show_organization(session, organization_id)
    if found is None:
        raise UnknownOrganizationError
    return jsonify(as_json(found))


@blueprint.post("/<uuid:organization_id>/repair")
@needs(Scope.ACT)
def post_repair(organization_id: UUID) -> tuple[Response, HTTPStatus]:
    """Enqueue what is missing of its database, or say that nothing is."""
    reason = read_body(ReasonSchema())["reason"]
    with services().sessions.begin() as session:
        outcome = repair(session, organization_id, asker().act(reason))
    status = HTTPStatus.OK if outcome is Repair.NOT_NEEDED else HTTPStatus.ACCEPTED
    return jsonify(id=organization_id, repair=outcome), status
