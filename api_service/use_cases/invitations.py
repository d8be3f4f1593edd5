"""Invite to an organization by e-mail, and accept with the code or the link of the mail.

Inviting reads no account, so it cannot reveal whether the address has one. Code and link prove the address, so a new
user needs no activation. An invitation is valid while its inviter may invite (organization_invitations.sql).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import (
    InvalidOrExpiredError,
    NotInvitedError,
    OrganizationFailedError,
    PasswordRequiredError,
    UnknownInvitationError,
)
from api_service.rate_limits import Limiter
from api_service.security.access_tokens import CurrentUser
from api_service.transactions import in_transaction
from api_service.use_cases.account_codes import CodeRequest, add, message_with
from api_service.use_cases.activate import retire_others
from api_service.use_cases.change_address import take_address
from api_service.use_cases.members import require_inviter
from api_service.use_cases.reauthentication import lock_signed_in_user
from api_service.use_cases.tokens import (
    SpentAttempts,
    TokenPolicy,
    count_tries,
    destinations,
    id_in_link,
    is_living,
    matching_attempt,
    spend_attempt,
)
from api_service.use_cases.users import Address, is_proven_on, notice, proven_channels, reached_at
from shared.addresses import canonical_email
from shared.enqueue import enqueue
from shared.models import Organization, OrganizationInvitation, Token, User
from shared.secrets import LinkUse, SecretKeys
from shared.templates import Template
from shared.vocabulary import Locale, MemberRole, OrganizationStatus, Purpose, UserStatus


class InvitedRole(StrEnum):
    """The roles that an invitation can give."""

    ADMIN = MemberRole.ADMIN
    MEMBER = MemberRole.MEMBER


@dataclass(frozen=True)
class NewInvitation:
    """An address to invite with a role. The default locale is that of the inviter."""

    address: Address
    role: MemberRole
    locale: Locale | None = None


@dataclass(frozen=True)
class Invitation:
    """An open invitation, or one that expired less than a day ago. It shows neither an account nor the delivery."""

    id: UUID
    organization_id: UUID
    email: str = field(repr=False)
    role: MemberRole
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class NewMember:
    """What a new user enters to accept an invitation, apart from address and password."""

    full_name: str | None = field(repr=False)
    locale: Locale
    profile: dict[str, Any] = field(repr=False, default_factory=dict)


def invite(
    session: Session,
    current_user: CurrentUser,
    organization_id: UUID,
    new: NewInvitation,
    *,
    keys: SecretKeys,
    policy: TokenPolicy,
) -> Invitation:
    """Add an invitation and its message, in the caller's transaction. It replaces an earlier one of the same address.

    The message names the organization and no person. Raises NotAMemberError, RoleRequiredError, or
    OrganizationFailedError if the organization has no database and none is being created.
    """
    user = lock_signed_in_user(session, current_user)
    require_inviter(session, organization_id, user.id, locked=True)
    name = require_not_failed(session, organization_id)
    _replace_earlier(session, organization_id, new.address, keys)
    token = add(session, CodeRequest(None, Purpose.INVITATION, new.address), keys, policy)
    session.execute(
        insert(OrganizationInvitation).values(
            id=token.id, organization_id=organization_id, role=new.role, invited_by=user.id
        )
    )
    enqueue(
        session,
        message_with(
            Template("invitation"),
            token,
            policy,
            recipient=new.address.deliverable,
            locale=new.locale or user.locale,
            name=name,
        ),
    )
    return Invitation(token.id, organization_id, new.address.deliverable, new.role, token.created_at, token.expires_at)


def require_not_failed(session: Session, organization_id: UUID) -> str:
    """Return the organization's name. Raises OrganizationFailedError."""
    described = select(Organization.name, Organization.status).where(Organization.id == organization_id)
    organization = session.execute(described).one()
    if organization.status == OrganizationStatus.FAILED:
        raise OrganizationFailedError
    return str(organization.name)


def _replace_earlier(session: Session, organization_id: UUID, address: Address, keys: SecretKeys) -> None:
    # Two invitations at once would otherwise both stay.
    lock = func.hashtextextended(f"{organization_id}/{address.canonical}", 0)
    session.execute(select(func.pg_advisory_xact_lock(lock)))
    _end_all_to(session, organization_id, [address], keys)


def _end_all_to(session: Session, organization_id: UUID, addresses: Sequence[Address], keys: SecretKeys) -> None:
    """End the organization's invitations to these addresses."""
    theirs = select(OrganizationInvitation.id).join(Token, Token.id == OrganizationInvitation.id)
    of_this = OrganizationInvitation.organization_id == organization_id
    to_these = Token.address_id.in_(_ids_of(addresses, keys))
    for invitation_id in session.scalars(theirs.where(of_this, to_these).order_by(Token.id)).all():
        _end(session, invitation_id)


def list_invitations(session: Session, organization_id: UUID, user_id: UUID) -> list[Invitation]:
    """Return the organization's invitations, oldest first. Raises NotAMemberError or RoleRequiredError."""
    require_inviter(session, organization_id, user_id)
    return _found(session, _invitations().where(OrganizationInvitation.organization_id == organization_id))


def invitations_about(session: Session, user: User, keys: SecretKeys) -> list[Invitation]:
    """Return the invitations that the user has sent or received at a proven address, for the export."""
    received = Token.address_id.in_(_ids_of(proven_addresses(user), keys))
    return _found(session, _invitations().where((OrganizationInvitation.invited_by == user.id) | received))


def revoke(session: Session, current_user: CurrentUser, organization_id: UUID, invitation_id: UUID) -> None:
    """End the invitation, in the caller's transaction.

    Raises NotAMemberError, RoleRequiredError, or UnknownInvitationError if it was accepted, declined or pruned.
    """
    lock_signed_in_user(session, current_user)
    require_inviter(session, organization_id, current_user.user_id, locked=True)
    invitation = session.get(OrganizationInvitation, invitation_id)
    if invitation is None or invitation.organization_id != organization_id or not _end(session, invitation_id):
        raise UnknownInvitationError


def end_invitations_to(session: Session, organization_id: UUID, user_id: UUID, keys: SecretKeys) -> None:
    """End the organization's invitations to a former member, in the caller's transaction."""
    user = session.get(User, user_id)
    if user:
        _end_all_to(session, organization_id, proven_addresses(user), keys)


def decline(session: Session, token_id: UUID) -> None:
    """End the invitation, in the caller's transaction. Raises InvalidOrExpiredError."""
    if not _end(session, token_id):
        raise InvalidOrExpiredError


def token_of_code(
    sessions: sessionmaker[Session], keys: SecretKeys, limiter: Limiter, addresses: Sequence[Address], code: str
) -> UUID:
    """Return the id of the invitation with this code to one of the addresses.

    The attempt is committed before the code is compared. It costs each open invitation of the addresses an attempt.
    Raises InvalidOrExpiredError, also if no attempts are left, or TooManyRequestsError.
    """
    invited = Token.address_id.in_(_ids_of(addresses, keys)) & (Token.purpose == Purpose.INVITATION)

    def tried(session: Session) -> SpentAttempts:
        spent = spend_attempt(session, invited)
        count_tries(session, limiter, *destinations(session, spent))
        return spent

    # An erasure of the address locks its tokens in another order.
    spent = in_transaction(sessions, tried)
    return matching_attempt(spent, keys, code).token_id


def token_of_link(keys: SecretKeys, link_token: str) -> UUID:
    """Return the id of the invitation in the link. Raises InvalidOrExpiredError."""
    return id_in_link(link_token, keys, LinkUse.ACCEPT_INVITATION)


def accept(session: Session, current_user: CurrentUser, token_id: UUID) -> UUID:
    """Add the signed-in user to the organization, in the caller's transaction, and return its id.

    Raises InvalidOrExpiredError, or NotInvitedError unless the user has proven the invited address.
    """
    user = lock_signed_in_user(session, current_user)
    invited = invited_address(session, token_id)
    if invited.canonical not in {address.canonical for address in proven_addresses(user)}:
        raise NotInvitedError
    return _join(session, token_id, user.id)


def accept_by_link(session: Session, token_id: UUID, new: NewMember, password_hash: str | None) -> None:
    """Add the user who has proven the invited address, or else a new one, in the caller's transaction.

    An account with the address joins without signing in: whoever reads the mailbox could also reset its password.
    Raises InvalidOrExpiredError, or PasswordRequiredError if there is no account and no password for a new one.
    """
    invited = invited_address(session, token_id)
    is_theirs = is_proven_on(invited.channel, invited.canonical)
    user_id = session.scalar(select(User.id).where(is_theirs).with_for_update(key_share=True))
    if user_id is not None:
        _join(session, token_id, user_id)
    elif password_hash is None:
        raise PasswordRequiredError
    else:
        register_invited(session, token_id, new, password_hash)


def register_invited(session: Session, token_id: UUID, new: NewMember, password_hash: str) -> User:
    """Add an active user with the invited address to the organization, in the caller's transaction.

    As at an activation, other pending users with the address are retired, and the user is welcomed. Raises
    InvalidOrExpiredError, or AddressTakenError, which only a reader of the address sees.
    """
    email = invited_address(session, token_id).deliverable
    user = User(
        id=uuid4(),
        status=UserStatus.ACTIVE,
        email=email,
        email_canonical=canonical_email(email),
        password_hash=password_hash,
        full_name=new.full_name,
        profile=new.profile,
        locale=new.locale,
        activated_at=func.now(),
    )
    session.add(user)
    session.flush()
    token = session.get_one(Token, token_id)
    take_address(session, user, token)
    _join(session, token_id, user.id)
    retire_others(session, user, token.channel)
    enqueue(session, notice(Template("welcome"), user, token.channel))
    return user


def invited_address(session: Session, token_id: UUID) -> Address:
    """Return the address of an open invitation. Raises InvalidOrExpiredError."""
    open_one = select(Token.channel, Token.new_address).join(
        OrganizationInvitation, OrganizationInvitation.id == Token.id
    )
    row = session.execute(open_one.where(Token.id == token_id, is_living())).one_or_none()
    if row is None:
        raise InvalidOrExpiredError
    return Address(row.channel, row.new_address)


def proven_addresses(user: User) -> list[Address]:
    """Return the addresses that the user has proven."""
    return [Address(channel, reached_at(user, channel)) for channel in proven_channels(user)]


def _join(session: Session, token_id: UUID, user_id: UUID) -> UUID:
    organization_id: UUID | None = session.scalar(select(func.signpost_accept_invitation(token_id, user_id)))
    if organization_id is None:
        raise InvalidOrExpiredError
    return organization_id


def _end(session: Session, invitation_id: UUID) -> bool:
    return bool(session.scalar(select(func.signpost_end_invitation(invitation_id))))


def _ids_of(addresses: Sequence[Address], keys: SecretKeys) -> list[UUID]:
    return [address_id for address in addresses for address_id in address.ids_under(keys)]


def _invitations() -> Any:
    columns = Token.new_address.label("email"), Token.created_at, Token.expires_at
    invitation = OrganizationInvitation
    named = select(invitation.id, invitation.organization_id, invitation.role, *columns)
    return named.join(Token, Token.id == invitation.id).order_by(Token.created_at, invitation.id)


def _found(session: Session, query: Any) -> list[Invitation]:
    return [Invitation(**row) for row in session.execute(query).mappings()]
