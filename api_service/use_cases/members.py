"""Members of an organization: listed by members, and given roles or removed by owners and admins."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, case, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from api_service.errors import (
    FreshSignInRequiredError,
    LastOwnerError,
    NotAMemberError,
    RoleRequiredError,
    UnknownMemberError,
)
from api_service.security.access_tokens import CurrentUser
from api_service.use_cases.reauthentication import Reauthentication, lock_reauthenticated_user, lock_signed_in_user
from shared.models import OrganizationMember, User
from shared.vocabulary import MemberRole

MAY_INVITE = (MemberRole.OWNER, MemberRole.ADMIN)
"""The roles of members who may invite, and who see the addresses of the other members."""

Roles = Mapping[UUID, MemberRole]


@dataclass(frozen=True)
class Member:
    """A member. Only owners and admins see the proven addresses; for other viewers they are None."""

    user_id: UUID
    full_name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    role: MemberRole
    joined_at: datetime


@dataclass(frozen=True)
class MemberChange:
    """A new role for a member, or with None the end of the membership."""

    organization_id: UUID
    member_id: UUID
    new_role: MemberRole | None


def role_of(session: Session, organization_id: UUID, user_id: UUID, *, locked: bool = False) -> MemberRole:
    """Return the user's role. Raises NotAMemberError.

    With ``locked``, a concurrent change of the role waits for the caller's transaction.
    """
    query = select(OrganizationMember.role).where(
        OrganizationMember.organization_id == organization_id, OrganizationMember.user_id == user_id
    )
    role = session.scalar(query.with_for_update(read=True) if locked else query)
    if role is None:
        raise NotAMemberError
    return role


def require_inviter(session: Session, organization_id: UUID, user_id: UUID, *, locked: bool = False) -> None:
    """Raise NotAMemberError or RoleRequiredError unless the user may invite."""
    if role_of(session, organization_id, user_id, locked=locked) not in MAY_INVITE:
        raise RoleRequiredError


def list_members(session: Session, organization_id: UUID, user_id: UUID) -> list[Member]:
    """Return all members in the order of joining, as the user sees them. Raises NotAMemberError."""
    shows_addresses = role_of(session, organization_id, user_id) in MAY_INVITE
    rows = session.execute(
        select(
            OrganizationMember.user_id,
            User.full_name,
            case((User.email_verified_at.is_not(None), User.email)).label("email"),
            case((User.phone_verified_at.is_not(None), User.phone)).label("phone"),
            OrganizationMember.role,
            OrganizationMember.joined_at,
        )
        .join(User, User.id == OrganizationMember.user_id)
        .where(OrganizationMember.organization_id == organization_id)
        .order_by(OrganizationMember.joined_at, OrganizationMember.user_id)
    ).mappings()
    hidden = {} if shows_addresses else {"email": None, "phone": None}
    return [Member(**(dict(row) | hidden)) for row in rows]


def concerns_ownership(session: Session, change: MemberChange) -> bool:
    """Return whether the change gives or takes the ownership, which needs the password or a fresh session."""
    member = session.get(OrganizationMember, (change.organization_id, change.member_id))
    return MemberRole.OWNER in (change.new_role, member.role if member else None)


def change_member(
    session: Session, current_user: CurrentUser, reauthentication: Reauthentication | None, change: MemberChange
) -> None:
    """Change the role, or remove the member, in the caller's transaction.

    A trigger ends the invitations of a member who may invite no longer. Raises the errors of ``check_change``, and
    FreshSignInRequiredError if the change concerns the ownership and there is no ``reauthentication``.
    """
    if reauthentication:
        lock_reauthenticated_user(session, reauthentication)
    else:
        lock_signed_in_user(session, current_user)
    roles = _lock_roles(session, change.organization_id, current_user.user_id, change.member_id)
    check_change(roles, current_user.user_id, change)
    if reauthentication is None and MemberRole.OWNER in (change.new_role, roles[change.member_id]):
        raise FreshSignInRequiredError
    is_member = and_(
        OrganizationMember.organization_id == change.organization_id, OrganizationMember.user_id == change.member_id
    )
    if change.new_role is None:
        session.execute(delete(OrganizationMember).where(is_member))
    else:
        session.execute(update(OrganizationMember).where(is_member).values(role=change.new_role))


def check_change(roles: Roles, actor_id: UUID, change: MemberChange) -> None:
    """Raise NotAMemberError, RoleRequiredError, UnknownMemberError or LastOwnerError if the change is not allowed.

    ``roles`` are those of all owners, of the actor and of the member. Each member may leave, owners may do everything,
    and admins may change whatever does not concern the ownership.
    """
    if actor_id not in roles:
        raise NotAMemberError
    is_leaving = change.new_role is None and actor_id == change.member_id
    if roles[actor_id] is MemberRole.MEMBER and not is_leaving:
        raise RoleRequiredError
    if change.member_id not in roles:
        raise UnknownMemberError
    is_owner, becomes_owner = roles[change.member_id] is MemberRole.OWNER, change.new_role is MemberRole.OWNER
    if (is_owner or becomes_owner) and roles[actor_id] is not MemberRole.OWNER:
        raise RoleRequiredError
    if is_owner and not becomes_owner and [*roles.values()].count(MemberRole.OWNER) == 1:
        raise LastOwnerError


def require_successor(session: Session, user_id: UUID) -> None:
    """Raise LastOwnerError if the user is the only owner of an organization that has other members.

    Locks the memberships of all owners. If the last two are erased at once, the second one waits, is then the only
    owner, and gets the error. Locks all memberships of the user, too, so that nobody makes the user an owner meanwhile.
    """
    belongs = OrganizationMember
    own = select(belongs.organization_id).where(belongs.user_id == user_id)
    locked = session.execute(
        select(belongs.organization_id, belongs.user_id, belongs.role)
        .where(belongs.organization_id.in_(own), or_(belongs.user_id == user_id, belongs.role == MemberRole.OWNER))
        .order_by(belongs.organization_id, belongs.user_id)
        .with_for_update()
    ).all()
    owners = [row for row in locked if row.role is MemberRole.OWNER]
    counts = Counter(row.organization_id for row in owners)
    with_one_owner = [
        row.organization_id for row in owners if row.user_id == user_id and counts[row.organization_id] == 1
    ]
    if session.scalar(select(exists().where(belongs.organization_id.in_(with_one_owner), belongs.user_id != user_id))):
        raise LastOwnerError


def _lock_roles(session: Session, organization_id: UUID, *user_ids: UUID) -> Roles:
    """Lock the memberships of all owners and of these users, and return their roles.

    So of two owners who remove each other at once, the second one is no owner any more.
    """
    rows = session.execute(
        select(OrganizationMember.user_id, OrganizationMember.role)
        .where(
            OrganizationMember.organization_id == organization_id,
            or_(OrganizationMember.role == MemberRole.OWNER, OrganizationMember.user_id.in_(user_ids)),
        )
        .order_by(OrganizationMember.user_id)
        .with_for_update()
    )
    return {row.user_id: row.role for row in rows}
