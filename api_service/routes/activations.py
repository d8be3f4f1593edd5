"""/v1/activations: what programs call with the code or the link's token."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify

from api_service.bodies import read_body
from api_service.idempotency import idempotent, keep, take_key
from api_service.schemas import ActivateSchema
from api_service.services import services
from api_service.use_cases.activate import activate, token_of_code, token_of_link
from shared.vocabulary import UserStatus

blueprint = Blueprint("activations", __name__, url_prefix="/v1/activations")


@blueprint.post("")
@idempotent
def post_activation() -> Response:
    """Activate whoever the code or the link was sent to."""
    token_id = _token_of(read_body(ActivateSchema()))
    with services().sessions.begin() as session:
        take_key(session)
        activate(session, token_id)
        return keep(session, jsonify(status=UserStatus.ACTIVE))


def _token_of(body: dict[str, Any]) -> UUID:
    if "token" in body:
        return token_of_link(services().keys, body["token"])
    parts = services()
    return token_of_code(parts.sessions, parts.keys, parts.limiter, body["registration_id"], body["code"])
