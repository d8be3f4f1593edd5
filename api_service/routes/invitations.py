"""Invitations: sent, listed and revoked by owners and admins, and accepted with the code or the link of the mail."""

from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

from flask import Blueprint, Response, jsonify
from sqlalchemy.orm import Session

from api_service.errors import Code, NoOrganizationsError
from api_service.http.accept_language import preferred_locale
from api_service.http.annotations import RATE_LIMIT_HEADERS, OperationDoc, RequestDoc, ResponseDoc, Tag
from api_service.http.authentication import authenticated, session_context, session_document
from api_service.http.idempotency import acquire_key, idempotent, store_response
from api_service.http.rate_limiting import by_addresses, by_network, by_organization, by_user, spend
from api_service.rate_limits import Limit
from api_service.schemas.invitations import AcceptInvitationSchema, InviteSchema, RegisterInvitedSchema
from api_service.schemas.responses import (
    ActivatedSchema,
    InvitationSchema,
    InvitationsSchema,
    OrganizationSchema,
    organization_member,
)
from api_service.security.access_tokens import CurrentUser
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.invitations import (
    NewInvitation,
    accept,
    invite,
    list_invitations,
    proven_addresses,
    register_invited,
    require_not_failed,
    revoke,
    token_of_code,
    token_of_link,
)
from api_service.use_cases.members import require_inviter
from api_service.use_cases.reset_password import reject_own_address
from api_service.use_cases.sessions import start_session
from api_service.use_cases.users import Address
from shared.models import User
from shared.vocabulary import Channel, Locale, UserStatus
from shared.web.problems import CommonCode, InvalidTokenError
from shared.web.requests import read_body

if TYPE_CHECKING:
    from api_service.use_cases.organizations import Organizations

OF_INVITERS = (Code.NOT_A_MEMBER, Code.ROLE_REQUIRED, CommonCode.NOT_FOUND)

blueprint = Blueprint("invitations", __name__, url_prefix="/v1")


@blueprint.post("/organizations/<uuid:organization_id>/invitations")
@OperationDoc(
    Tag.ORGANIZATIONS,
    {
        HTTPStatus.ACCEPTED: ResponseDoc(
            "A mail will be sent. The response is the same with or without an account.",
            InvitationSchema,
            headers=RATE_LIMIT_HEADERS,
        )
    },
    body=RequestDoc(InviteSchema),
    problems=(*OF_INVITERS, Code.ORGANIZATION_FAILED, Code.TOO_MANY_REQUESTS),
)
@authenticated
@idempotent
def post_invitation(current_user: CurrentUser, organization_id: UUID) -> Response:
    """Invite an address to the organization. This replaces an earlier invitation of the address."""
    new: NewInvitation = read_body(InviteSchema())
    parts = services()
    # Before the limits, so that only members use up those of the organization.
    with parts.sessions.begin() as session:
        require_inviter(session, organization_id, current_user.user_id)
        require_not_failed(session, organization_id)
    # One after the other: what a user is refused must not use up the limits of the organization and of the address.
    spend(by_user(Limit.INVITATIONS_PER_USER, current_user.user_id))
    spend(by_organization(Limit.INVITATIONS_PER_ORGANIZATION, organization_id))
    spend(*by_addresses(Limit.INVITATIONS_PER_ADDRESS, new.address.canonical))

    def invited(session: Session) -> Response:
        acquire_key(session)
        policy = organizations().invitation_policy
        invitation = invite(session, current_user, organization_id, new, keys=parts.keys, policy=policy)
        return store_response(session, InvitationSchema.response(invitation, HTTPStatus.ACCEPTED))

    return parts.run_and_wake(invited)


@blueprint.get("/organizations/<uuid:organization_id>/invitations")
@OperationDoc(
    Tag.ORGANIZATIONS,
    {HTTPStatus.OK: ResponseDoc("The invitations that were not accepted, oldest first.", InvitationsSchema)},
    problems=OF_INVITERS,
)
@authenticated
def get_invitations(current_user: CurrentUser, organization_id: UUID) -> Response:
    """List the open invitations. An expired one disappears a day later."""
    with services().sessions.begin() as session:
        found = list_invitations(session, organization_id, current_user.user_id)
    return InvitationsSchema.response({"invitations": found})


@blueprint.delete("/organizations/<uuid:organization_id>/invitations/<uuid:invitation_id>")
@OperationDoc(
    Tag.ORGANIZATIONS,
    {HTTPStatus.NO_CONTENT: ResponseDoc("The invitation was revoked. Its code and link no longer work.")},
    problems=OF_INVITERS,
)
@authenticated
def delete_invitation(current_user: CurrentUser, organization_id: UUID, invitation_id: UUID) -> Response:
    """Revoke an invitation."""
    in_transaction(services().sessions, lambda session: revoke(session, current_user, organization_id, invitation_id))
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.post("/invitations/accept")
@OperationDoc(
    Tag.ORGANIZATIONS,
    {HTTPStatus.OK: ResponseDoc("The user belongs to the organization.", OrganizationSchema)},
    body=RequestDoc(AcceptInvitationSchema),
    problems=(Code.INVALID_OR_EXPIRED, Code.NOT_INVITED, Code.TOO_MANY_REQUESTS),
)
@authenticated
@idempotent
def post_acceptance(current_user: CurrentUser) -> Response:
    """Accept an invitation of a proven address.

    Access tokens name the organization once a refresh chooses it.
    """
    body = read_body(AcceptInvitationSchema())
    parts = services()
    if "token" in body:
        token_id = token_of_link(parts.keys, body["token"])
    else:
        with parts.sessions.begin() as session:
            user = session.get(User, current_user.user_id)
            if user is None:  # erased since the session was checked
                raise InvalidTokenError
            addresses = proven_addresses(user)
        token_id = token_of_code(parts.sessions, parts.keys, parts.limiter, addresses, body["code"])

    def accepted(session: Session) -> Response:
        acquire_key(session)
        organization_id = accept(session, current_user, token_id)
        view = organizations().current(session, current_user.user_id, organization_id)
        return store_response(session, OrganizationSchema.response(view))

    return in_transaction(parts.sessions, accepted)


@blueprint.post("/invitations/register")
@OperationDoc(
    Tag.ORGANIZATIONS,
    {
        HTTPStatus.OK: ResponseDoc(
            "The account is active and belongs to the organization.", ActivatedSchema, headers=RATE_LIMIT_HEADERS
        )
    },
    body=RequestDoc(lambda: RegisterInvitedSchema(Locale.EN)),
    problems=(Code.INVALID_OR_EXPIRED, Code.ADDRESS_TAKEN, Code.TOO_MANY_REQUESTS, Code.OVERLOADED),
)
@idempotent
def post_invited_registration() -> Response:
    """Register with an invitation, which proves the address, and sign in.

    If the address has an account, sign in and accept instead.
    """
    parts = services()
    body = read_body(RegisterInvitedSchema(preferred_locale(), parts.profiles))
    # Admitted first, because the code's attempt is spent even if the request is rejected afterwards.
    with parts.other_hashes.admit():
        spend(by_network(Limit.REGISTRATIONS_PER_NETWORK))
        if "token" in body:
            token_id = token_of_link(parts.keys, body["token"])
        else:
            token_id = token_of_code(
                parts.sessions, parts.keys, parts.limiter, [Address(Channel.EMAIL, body["email"])], body["code"]
            )
        password_hash = parts.other_hashes.hash(body["password"])

    def registered(session: Session) -> Response:
        acquire_key(session)
        user = register_invited(session, token_id, body["new_member"], password_hash)
        reject_own_address(user, body["password"], "#/password")
        [organization] = organizations().of_user(session, user.id)
        document = {"status": UserStatus.ACTIVE} | organization_member(organization)
        if not organization.is_closed:
            document |= session_document(start_session(session, user, session_context(), organization))
        return store_response(session, jsonify(document), user.id)

    return parts.run_and_wake(registered)


def organizations() -> "Organizations":
    """Return the use cases of organizations, which these routes always have."""
    found = services().organizations
    if found is None:
        raise NoOrganizationsError
    return found
