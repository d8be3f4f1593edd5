"""/v1/activations: activate by code or by the link's token."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify
from sqlalchemy.orm import Session

from api_service.errors import Code
from api_service.http.annotations import OperationDoc, RequestDoc, ResponseDoc, Tag
from api_service.http.authentication import session_context, session_document
from api_service.http.idempotency import acquire_key, idempotent, store_response
from api_service.http.rate_limiting import by_network, refund, spend
from api_service.rate_limits import Limit
from api_service.schemas.requests import ActivateSchema
from api_service.schemas.responses import ActivatedSchema, organization_member
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.activate import Confirmation, activate, confirmed_by_code, confirmed_by_link
from api_service.use_cases.sessions import start_session
from shared.models import User
from shared.vocabulary import UserStatus
from shared.web.requests import read_body

if TYPE_CHECKING:
    from api_service.use_cases.organizations import OrganizationView

blueprint = Blueprint("activations", __name__, url_prefix="/v1/activations")


@blueprint.post("")
@OperationDoc(
    Tag.REGISTRATIONS,
    {HTTPStatus.OK: ResponseDoc("The account is active. A code also signs the client in.", ActivatedSchema)},
    body=RequestDoc(ActivateSchema),
    problems=(
        Code.INVALID_OR_EXPIRED,
        Code.PASSWORD_REQUIRED,
        Code.WRONG_PASSWORD,
        Code.TOO_MANY_ATTEMPTS,
        Code.TOO_MANY_REQUESTS,
        Code.OVERLOADED,
    ),
)
@idempotent
def post_activation() -> Response:
    """Activate by code or link. A code also signs the client in, because only the registering client knows the id."""
    body = read_body(ActivateSchema())
    parts = services()
    if "token" in body:
        confirmation = by_link(body["token"], body.get("password"))
    else:
        confirmation = confirmed_by_code(
            parts.sessions, parts.keys, parts.limiter, body["registration_id"], body["code"]
        )

    def activated(session: Session) -> Response:
        acquire_key(session)
        user, organization = activated_by(session, confirmation)
        document = {"status": UserStatus.ACTIVE} | organization_member(organization)
        has_session = "token" not in body and not (organization and organization.is_closed)
        if has_session:
            document |= session_document(start_session(session, user, session_context(), organization))
        return store_response(session, jsonify(document), user.id)

    response = in_transaction(parts.sessions, activated)
    if parts.organizations:
        parts.notifier.wake()  # a founding or a repair may be due
    return response


def activated_by(session: Session, confirmation: Confirmation) -> "tuple[User, OrganizationView | None]":
    """Activate in the caller's transaction; return the user and the organization that the user enters."""
    parts = services()
    user = activate(session, confirmation, is_registrant_needed=parts.session_policy.admits_limited)
    return user, parts.organizations.enter(session, user.id) if parts.organizations else None


def by_link(link_token: str, password: str | None) -> Confirmation:
    """Confirm by link. A password counts as a sign-in of the network."""
    parts, network = services(), by_network(Limit.FAILED_LOGINS_PER_NETWORK)
    if password is None:
        return confirmed_by_link(parts.sessions, parts.keys, parts.other_hashes, link_token)
    with parts.other_hashes.admit():
        spend(network)
        confirmation = confirmed_by_link(parts.sessions, parts.keys, parts.other_hashes, link_token, password)
    refund(network)
    return confirmation
