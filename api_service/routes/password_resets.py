"""/v1/password-resets: request a code, and set a new password with it."""

from http import HTTPStatus

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from api_service.errors import Code
from api_service.http.accept_language import preferred_locale
from api_service.http.annotations import RATE_LIMIT_HEADERS, OperationDoc, RequestDoc, ResponseDoc, Tag
from api_service.http.idempotency import acquire_key, idempotent, store_response
from api_service.http.rate_limiting import by_addresses, by_network, spend
from api_service.rate_limits import Limit
from api_service.schemas.requests import ConfirmResetSchema, RequestResetSchema
from api_service.schemas.responses import ResetAskedSchema
from api_service.services import services
from api_service.use_cases.reset_password import ask_for_reset, reset_password, token_of_reset
from api_service.use_cases.users import Address
from shared.web.requests import read_body

blueprint = Blueprint("password_resets", __name__, url_prefix="/v1/password-resets")


@blueprint.post("")
@OperationDoc(
    Tag.PASSWORDS,
    {
        HTTPStatus.ACCEPTED: ResponseDoc(
            "The same response with or without an account.", ResetAskedSchema, headers=RATE_LIMIT_HEADERS
        )
    },
    body=RequestDoc(lambda: RequestResetSchema(None)),
    problems=(Code.TOO_MANY_REQUESTS,),
)
@idempotent
def post_password_reset() -> Response:
    """Send a code to the address, or a note that it has no account. The response is the same."""
    address: Address = read_body(RequestResetSchema(services().phone_region))["address"]
    spend(by_network(Limit.RESETS_PER_NETWORK), *by_addresses(Limit.RESETS_PER_ADDRESS, address.canonical))

    def asked(session: Session) -> Response:
        acquire_key(session)
        keys, policy = services().keys, services().reset_policy
        ask_for_reset(session, address, preferred_locale(), keys=keys, policy=policy)
        # The response repeats only the input. Its expiry would reveal that the account's owner had asked before. Stored
        # with a user, it would be deleted with the user, which would reveal that the account existed.
        return store_response(session, ResetAskedSchema.response(address, HTTPStatus.ACCEPTED))

    return services().run_and_wake(asked)


@blueprint.post("/confirm")
@OperationDoc(
    Tag.PASSWORDS,
    {HTTPStatus.NO_CONTENT: ResponseDoc("The password was changed, and all sessions ended.")},
    body=RequestDoc(lambda: ConfirmResetSchema(None)),
    problems=(Code.INVALID_OR_EXPIRED, Code.TOO_MANY_REQUESTS, Code.OVERLOADED),
)
@idempotent
def post_confirmation() -> Response:
    """Set a new password."""
    parts = services()
    body = read_body(ConfirmResetSchema(parts.phone_region))
    address, new_password = body["address"], body["new_password"]
    # Admitted first, because the code's attempt is spent even if the request is rejected afterwards.
    with parts.other_hashes.admit():
        token_id = token_of_reset(parts.sessions, parts.keys, parts.limiter, address, body["code"])
        # Hash only after the right code, so that guesses cost little. No code matches a decoy.
        password_hash = parts.other_hashes.hash(new_password)

    def reset(session: Session) -> Response:
        acquire_key(session)
        user = reset_password(session, token_id, address, new_password, password_hash=password_hash)
        return store_response(session, Response(status=HTTPStatus.NO_CONTENT), user.id)

    return parts.run_and_wake(reset)
