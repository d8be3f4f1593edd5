"""/v1/password-resets: asking for a code, and choosing a new password with it."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from api_service import passwords
from api_service.account_schemas import AskForResetSchema, ConfirmResetSchema
from api_service.answers import code_document
from api_service.bodies import read_body
from api_service.languages import preferred_locale
from api_service.services import services
from api_service.use_cases.reset_password import NewPassword, ask_for_reset, reset_password

blueprint = Blueprint("password_resets", __name__, url_prefix="/v1/password-resets")


@blueprint.post("")
def post_password_reset() -> Response:
    """Send a code, or say that there is no account: to the address, and to nobody else."""
    address = read_body(AskForResetSchema())["address"]
    with services().sessions.begin() as session:
        token = ask_for_reset(
            session, address, preferred_locale(), keys=services().keys, terms=services().account_terms
        )
    services().notifier.wake()
    answer = jsonify(code_document(address, token.expires_at))
    answer.status_code = HTTPStatus.ACCEPTED
    return answer


@blueprint.post("/confirm")
def post_confirmation() -> Response:
    """Set a new password."""
    body = read_body(ConfirmResetSchema())
    # Before the code is looked at, and in any case: it takes most of the time.
    password_hash = passwords.hashed(body["new_password"])
    new = NewPassword(body["address"], body["code"], body["new_password"], password_hash)
    reset_password(services().sessions, services().keys, new)
    services().notifier.wake()
    return Response(status=HTTPStatus.NO_CONTENT)
