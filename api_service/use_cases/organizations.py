"""Organizations: founded with a registration, and entered by their members.

With ORGANIZATIONS=off, the API does not import this module. Otherwise ``Services.organizations`` has its functions, in
one of two modes.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from sqlalchemy import ColumnElement, Engine, func, insert, literal, select, text
from sqlalchemy.orm import Session

from api_service.errors import NotAMemberError, OrganizationFailedError, ResendTooSoonError
from api_service.use_cases.invitations import Invitation, invitations_about
from api_service.use_cases.members import require_successor
from shared.db.engine import DATABASE_FAILURES
from shared.enqueue import NewFallback, NewMessage
from shared.ids import uuid7
from shared.models import Organization, OrganizationMember, User
from shared.secrets import SecretKeys
from shared.vocabulary import (
    RELAY_ALIVE_SECONDS,
    HealthStatus,
    MemberRole,
    OrganizationStatus,
    Purpose,
    UserStatus,
    Work,
    WorkChannel,
    database_name_of,
)

if TYPE_CHECKING:
    from api_service.use_cases.register import NewOrganization
    from api_service.use_cases.tokens import IssuedToken, TokenPolicy
    from api_service.use_cases.users import NewUser

MAX_PROVISIONING_ATTEMPTS = 8
"""Of failures caused by the organization, which rarely pass. Failures of the server cost no attempt."""
PROVISIONING_RETRY_SECONDS = 5
"""Retry-After for an organization that is being provisioned."""
HAS_PROVISIONING_RELAY = f"""
select exists (select from relays where '{WorkChannel.PROVISION}' = any(channels)
                  and seen_at > now() - interval '{RELAY_ALIVE_SECONDS} seconds')
"""  # noqa: S608 - contains only constants


@dataclass(frozen=True)
class OrganizationView:
    """An organization, as a member sees it, or the founder before the activation.

    ``is_closed``: it was provisioned, and its database is unavailable by the last health check.
    """

    id: UUID
    name: str = field(repr=False)
    role: MemberRole
    status: OrganizationStatus
    is_closed: bool = False

    @property
    def may_send_code(self) -> bool:
        """Whether the founder may get a code now."""
        return self.status in (OrganizationStatus.PLANNED, OrganizationStatus.READY)


@dataclass(frozen=True)
class Organizations:
    """Found organizations, and look them up. Databases are created before or after the founder's activation.

    A decoy, founded with a taken address, takes the same paths.
    """

    precede_activation: bool
    invitation_policy: "TokenPolicy"
    keys: SecretKeys

    def found(
        self, session: Session, organization: "NewOrganization", user: "NewUser", token: "IssuedToken", code: NewMessage
    ) -> tuple[OrganizationView, NewMessage]:
        """Add the user's organization in the caller's transaction; return it and the message to enqueue.

        That is the message with the ``code``, or the message that provisions the organization and then enqueues the
        code.
        """
        if user.organization_id is None:
            raise ValueError("the user founds no organization")
        status = OrganizationStatus.PROVISIONING if self.precede_activation else OrganizationStatus.PLANNED
        given = {
            "id": user.organization_id,
            "name": organization.name,
            "country": organization.country,
            "status": status,
            "founder_id": user.id,
            "database_name": database_name_of(user.organization_id),
            "is_decoy": token.purpose is Purpose.DECOY,
        }
        session.connection().execute(insert(Organization), given)
        view = OrganizationView(user.organization_id, organization.name, MemberRole.OWNER, status)
        return view, _before(code, view.id, token) if self.precede_activation else code

    def founded_by(self, session: Session, registration_id: UUID) -> OrganizationView | None:
        """Return the organization of a registration, if any. An active user may have left it, or have another role."""
        of_founder = (OrganizationMember.organization_id == Organization.id) & (OrganizationMember.user_id == User.id)
        query = _VIEW.join(User, User.organization_id == Organization.id).outerjoin(OrganizationMember, of_founder)
        is_shown = (User.status != UserStatus.ACTIVE) | OrganizationMember.user_id.is_not(None)
        role = func.coalesce(OrganizationMember.role, literal(MemberRole.OWNER, OrganizationMember.role.type))
        return _view(session, query.where(User.id == registration_id, is_shown).add_columns(role.label("role")))

    def require_code_allowed(self, session: Session, registration_id: UUID) -> None:
        """Raise ResendTooSoonError while the organization precedes the code, or OrganizationFailedError."""
        organization = self.founded_by(session, registration_id)
        if organization is None or organization.may_send_code:
            return
        if organization.status is OrganizationStatus.FAILED:
            raise OrganizationFailedError
        raise ResendTooSoonError(retry_after_seconds=PROVISIONING_RETRY_SECONDS)

    def of_user(self, session: Session, user_id: UUID) -> list[OrganizationView]:
        """Return all organizations of the user, in the order of joining."""
        return [OrganizationView(**row) for row in session.execute(_of(user_id)).mappings()]

    def invitations_about(self, session: Session, user: User) -> list[Invitation]:
        """Return the invitations that the user has sent or received."""
        return invitations_about(session, user, self.keys)

    def require_successor(self, session: Session, user: User) -> None:
        """Raise LastOwnerError if the erasure of the user would leave other members without an owner."""
        require_successor(session, user.id)

    def current(self, session: Session, user_id: UUID, last_id: UUID | None) -> OrganizationView | None:
        """Return the organization that the session's last token named, if the user still belongs to it.

        Before the session's first token with an organization, return the one that the user joined first. One that
        could not be provisioned comes last.
        """
        if last_id is not None:
            return _view(session, _of(user_id).where(Organization.id == last_id))
        has_failed = Organization.status == OrganizationStatus.FAILED
        return _view(session, _of(user_id).order_by(None).order_by(has_failed, *IN_ORDER_OF_JOINING).limit(1))

    def enter(self, session: Session, user_id: UUID, chosen_id: UUID | None = None) -> OrganizationView | None:
        """Return the organization that the user chose, or the default one; None without one.

        Enqueues what its database needs in the caller's transaction: its founding, if it was planned, or a repair.
        Raises NotAMemberError.
        """
        organization = self.current(session, user_id, chosen_id)
        if organization is None and chosen_id is not None:
            raise NotAMemberError
        if organization is None or not (organization.is_closed or organization.status is OrganizationStatus.PLANNED):
            return organization
        session.execute(select(func.signpost_enqueue_repair(organization.id, uuid7())))
        return self.current(session, user_id, organization.id)


def held_foundings(engine: Engine) -> list[str]:
    """Return why organizations get no databases, for /readyz. Without a database, that is not known."""
    with suppress(*DATABASE_FAILURES), engine.connect() as connection:
        return [] if connection.scalar(text(HAS_PROVISIONING_RELAY)) else ["organizations: no relay provisions"]
    return []


def provisioning_problem(connection: psycopg.Connection) -> str | None:
    """Return the same for ``check-settings``."""
    if connection.execute(HAS_PROVISIONING_RELAY.encode()).fetchone() == (True,):
        return None
    return f"no relay with PROVISION_DATABASE_URL was seen for {RELAY_ALIVE_SECONDS} s; organizations get no databases"


def _is_closed() -> ColumnElement[bool]:
    is_healthy = Organization.health.is_not_distinct_from(HealthStatus.HEALTHY)
    return (Organization.status == OrganizationStatus.READY) & ~is_healthy


IN_ORDER_OF_JOINING = (OrganizationMember.joined_at, Organization.id)
_VIEW = select(Organization.id, Organization.name, Organization.status, _is_closed().label("is_closed"))


def _of(user_id: UUID) -> Any:
    """Select the user's organizations, in the order of joining."""
    joined = _VIEW.add_columns(OrganizationMember.role).join(OrganizationMember)
    return joined.where(OrganizationMember.user_id == user_id).order_by(*IN_ORDER_OF_JOINING)


def _view(session: Session, query: Any) -> OrganizationView | None:
    row = session.execute(query).mappings().one_or_none()
    return OrganizationView(**row) if row else None


def _before(code: NewMessage, organization_id: UUID, token: "IssuedToken") -> NewMessage:
    """Return the message that provisions the organization, with the code's message in its payload.

    The payload contains no secret and no address.
    """
    named = {"organization_id": str(organization_id), "token_id": str(token.id)}
    return NewMessage(
        template=Work.FOUND_ORGANIZATION,
        channel=WorkChannel.PROVISION,
        recipient=code.recipient,
        locale=code.locale,
        payload=code.payload | named | _fallback(code.fallback),
        user_id=code.user_id,
        max_attempts=MAX_PROVISIONING_ATTEMPTS,
    )


def _fallback(fallback: NewFallback | None) -> dict[str, Any]:
    if fallback is None:
        return {}
    return {
        "fallback": {
            "channel": fallback.channel,
            "after_seconds": fallback.after.total_seconds(),
            "lifetime_seconds": fallback.lifetime.total_seconds(),
        }
    }
