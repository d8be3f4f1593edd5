"""/v1/password-resets: asking for a code, and choosing a new password with it."""

from http import HTTPStatus

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from api_service import passwords
from api_service.account_schemas import AskForResetSchema, ConfirmResetSchema
from api_service.answer_schemas import ResetAskedSchema
from api_service.answers import reset_answer
from api_service.describing import COUNTED, Answer, Body, Description, Tag, described
from api_service.errors import Code
from api_service.idempotency import idempotent, keep, take_key
from api_service.languages import preferred_locale
from api_service.limiting import from_network, spend, to_addresses
from api_service.rate_limits import Limit
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.addresses import Address
from api_service.use_cases.reset_password import NewPassword, ask_for_reset, reset_password, token_of_reset
from shared.web.bodies import read_body

blueprint = Blueprint("password_resets", __name__, url_prefix="/v1/password-resets")


@blueprint.post("")
@described(
    Description(
        Tag.PASSWORDS,
        {
            HTTPStatus.ACCEPTED: Answer(
                "The same, whether or not there is an account.", ResetAskedSchema, headers=COUNTED
            )
        },
        body=Body(AskForResetSchema),
        refusals=(Code.TOO_MANY_REQUESTS,),
    )
)
@idempotent
def post_password_reset() -> Response:
    """Send a code, or say that there is no account: to the address, and to nobody else."""
    address: Address = read_body(AskForResetSchema())["address"]
    spend(from_network(Limit.RESETS_PER_NETWORK), *to_addresses(Limit.RESETS_PER_ADDRESS, address.canonical))

    def asked(session: Session) -> Response:
        take_key(session)
        keys, terms = services().keys, services().account_terms
        ask_for_reset(session, address, preferred_locale(), keys=keys, terms=terms)
        # Nobody's: it has only what was typed. One that went with its holder would tell strangers that there was one.
        return keep(session, reset_answer(address))

    answer = in_transaction(services().sessions, asked)
    services().notifier.wake()
    return answer


@blueprint.post("/confirm")
@described(
    Description(
        Tag.PASSWORDS,
        {HTTPStatus.NO_CONTENT: Answer("It is the password, and every session has ended.")},
        body=Body(ConfirmResetSchema),
        refusals=(Code.INVALID_OR_EXPIRED, Code.TOO_MANY_REQUESTS),
    )
)
@idempotent
def post_confirmation() -> Response:
    """Set a new password."""
    body = read_body(ConfirmResetSchema())
    new = NewPassword(body["address"], body["code"], body["new_password"])
    token_id = token_of_reset(services().sessions, services().keys, services().limiter, new)
    # Only for the right code, which no decoy's can be said to be: nobody makes the server hash by guessing.
    password_hash = passwords.hashed(new.password)

    def reset(session: Session) -> Response:
        take_key(session)
        holder = reset_password(session, token_id, new, password_hash)
        return keep(session, Response(status=HTTPStatus.NO_CONTENT), holder.id)

    answer = in_transaction(services().sessions, reset)
    services().notifier.wake()
    return answer
