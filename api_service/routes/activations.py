"""/v1/activations: what programs call with the code or the link's token."""

from flask import Blueprint, Response, jsonify

from api_service.bodies import read_body
from api_service.schemas import ActivateSchema
from api_service.services import services
from api_service.use_cases.activate import activate_by_code, activate_by_link
from shared.vocabulary import UserStatus

blueprint = Blueprint("activations", __name__, url_prefix="/v1/activations")


@blueprint.post("")
def post_activation() -> Response:
    """Activate whoever the code or the link was sent to."""
    body = read_body(ActivateSchema())
    if "token" in body:
        activate_by_link(services().sessions, services().keys, body["token"])
    else:
        activate_by_code(services().sessions, services().keys, body["registration_id"], body["code"])
    return jsonify(status=UserStatus.ACTIVE)
