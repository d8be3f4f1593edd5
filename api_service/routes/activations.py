"""/v1/activations: what programs call with the code or the link's token."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify

from api_service.answer_schemas import ActivatedSchema
from api_service.authentication import opening, session_document
from api_service.bodies import read_body
from api_service.describing import Answer, Body, Description, Tag, described
from api_service.errors import Code
from api_service.idempotency import idempotent, keep, take_key
from api_service.schemas import ActivateSchema
from api_service.services import services
from api_service.use_cases.activate import activate, token_of_code, token_of_link
from api_service.use_cases.organizations import may_enter
from api_service.use_cases.sessions import begin_session
from shared.vocabulary import UserStatus

blueprint = Blueprint("activations", __name__, url_prefix="/v1/activations")


@blueprint.post("")
@described(
    Description(
        Tag.REGISTRATIONS,
        {HTTPStatus.OK: Answer("The account is active; by code, its client is signed in.", ActivatedSchema)},
        body=Body(ActivateSchema),
        refusals=(Code.INVALID_OR_EXPIRED, Code.TOO_MANY_ATTEMPTS, Code.TOO_MANY_REQUESTS),
    )
)
@idempotent
def post_activation() -> Response:
    """Activate whoever the code or the link was sent to; the code signs them in, for its client registered."""
    body = read_body(ActivateSchema())
    token_id = _token_of(body)
    with services().sessions.begin() as session:
        take_key(session)
        user_id = activate(session, token_id)
        has_session = "token" not in body and may_enter(session, user_id)
        signed_in = session_document(begin_session(session, user_id, opening())) if has_session else {}
        return keep(session, jsonify(status=UserStatus.ACTIVE, **signed_in))


def _token_of(body: dict[str, Any]) -> UUID:
    if "token" in body:
        return token_of_link(services().keys, body["token"])
    parts = services()
    return token_of_code(parts.sessions, parts.keys, parts.limiter, body["registration_id"], body["code"])
