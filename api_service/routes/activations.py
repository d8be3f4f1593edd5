"""/v1/activations: what programs call with the code or the link's token."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify
from sqlalchemy.orm import Session

from api_service.answer_schemas import ActivatedSchema
from api_service.authentication import opening, session_document
from api_service.describing import Answer, Body, Description, Tag, described
from api_service.errors import Code
from api_service.idempotency import idempotent, keep, take_key
from api_service.limiting import from_network, give_back, spend
from api_service.rate_limits import Limit
from api_service.schemas import ActivateSchema
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.activate import Confirmation, activate, confirmed_by_code, confirmed_by_link
from api_service.use_cases.organizations import may_enter
from api_service.use_cases.sessions import begin_session
from shared.vocabulary import UserStatus
from shared.web.bodies import read_body

blueprint = Blueprint("activations", __name__, url_prefix="/v1/activations")


@blueprint.post("")
@described(
    Description(
        Tag.REGISTRATIONS,
        {HTTPStatus.OK: Answer("The account is active; by code, its client is signed in.", ActivatedSchema)},
        body=Body(ActivateSchema),
        refusals=(
            Code.INVALID_OR_EXPIRED,
            Code.PASSWORD_REQUIRED,
            Code.WRONG_PASSWORD,
            Code.TOO_MANY_ATTEMPTS,
            Code.TOO_MANY_REQUESTS,
        ),
    )
)
@idempotent
def post_activation() -> Response:
    """Activate whoever the code or the link was sent to; the code signs them in, for its client registered."""
    body = read_body(ActivateSchema())
    parts = services()
    if "token" in body:
        confirmation = by_link(body["token"], body.get("password"))
    else:
        confirmation = confirmed_by_code(
            parts.sessions, parts.keys, parts.limiter, body["registration_id"], body["code"]
        )

    def activated(session: Session) -> Response:
        take_key(session)
        user_id = activate(session, confirmation)
        has_session = "token" not in body and may_enter(session, user_id)
        signed_in = session_document(begin_session(session, user_id, opening())) if has_session else {}
        return keep(session, jsonify(status=UserStatus.ACTIVE, **signed_in), user_id)

    return in_transaction(parts.sessions, activated)


def by_link(link_token: str, password: str | None) -> Confirmation:
    """Return what the link confirms; a password beside it counts as signing in does, against the network."""
    network = from_network(Limit.FAILED_LOGINS_PER_NETWORK)
    if password is None:
        return confirmed_by_link(services().sessions, services().keys, link_token)
    spend(network)
    confirmation = confirmed_by_link(services().sessions, services().keys, link_token, password)
    give_back(network)
    return confirmation
