"""/v1/activations: what programs call with the code or the link's token."""

from flask import Blueprint, Response, jsonify

from api_service.authentication import opening, session_document
from api_service.bodies import read_body
from api_service.schemas import ActivateSchema
from api_service.services import services
from api_service.use_cases.activate import activate_by_code, activate_by_link
from shared.vocabulary import UserStatus

blueprint = Blueprint("activations", __name__, url_prefix="/v1/activations")


@blueprint.post("")
def post_activation() -> Response:
    """Activate whoever the code or the link was sent to; the code signs them in, for its client registered."""
    body = read_body(ActivateSchema())
    sessions, keys = services().sessions, services().keys
    if "token" in body:
        activate_by_link(sessions, keys, body["token"])
        return jsonify(status=UserStatus.ACTIVE)
    begun = activate_by_code(sessions, keys, body["registration_id"], body["code"], opening=opening())
    return jsonify(status=UserStatus.ACTIVE, **session_document(begun))
