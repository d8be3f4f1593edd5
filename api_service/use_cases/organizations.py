"""Organizations: created with a registration, and checked when a member signs in."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from api_service.errors import OrganizationFailedError, ResendTooSoonError
from api_service.use_cases.tokens import IssuedToken
from api_service.use_cases.users import NewUser
from shared.enqueue import NewFallback, NewMessage
from shared.ids import uuid7
from shared.models import Organization, User
from shared.vocabulary import HealthStatus, OrganizationStatus, Purpose, Work, WorkChannel, database_name_of

MAX_PROVISIONING_ATTEMPTS = 8
"""Of failures caused by the organization, which rarely pass. Failures of the server cost no attempt."""
PROVISIONING_RETRY_SECONDS = 5
"""Retry-After for an organization that is being provisioned."""


@dataclass(frozen=True)
class NewOrganization:
    """An organization to create; the country is an ISO 3166-1 alpha-2 code."""

    name: str = field(repr=False)
    country: str | None


@dataclass(frozen=True)
class OrganizationSummary:
    """An organization, as its founder sees it."""

    name: str = field(repr=False)
    status: OrganizationStatus


def being_provisioned(organization: NewOrganization) -> OrganizationSummary:
    """Return the organization as its founder sees it at first."""
    return OrganizationSummary(organization.name, OrganizationStatus.PROVISIONING)


def add_organization(
    session: Session, organization: NewOrganization, user: NewUser, token: IssuedToken, message: NewMessage
) -> NewMessage:
    """Add the organization in the caller's transaction; return the message that provisions it.

    The relay enqueues ``message``, the follow-up in the payload, once provisioning succeeds. The payload contains no
    secret and no address. A decoy takes the same path, without a database.
    """
    organization_id = user.organization_id
    if organization_id is None:
        raise ValueError("the user founds no organization")
    given = {
        "id": organization_id,
        "name": organization.name,
        "country": organization.country,
        "founder_id": user.id,
        "database_name": database_name_of(organization_id),
        "is_decoy": token.purpose is Purpose.DECOY,
    }
    session.connection().execute(insert(Organization), given)
    return NewMessage(
        template=Work.FOUND_ORGANIZATION,
        channel=WorkChannel.PROVISION,
        recipient=message.recipient,
        locale=message.locale,
        payload=message.payload | _follow_up(organization_id, token, message.fallback),
        user_id=user.id,
        max_attempts=MAX_PROVISIONING_ATTEMPTS,
    )


def _follow_up(organization_id: UUID, token: IssuedToken, fallback: NewFallback | None) -> dict[str, Any]:
    named = {"organization_id": str(organization_id), "token_id": str(token.id)}
    if fallback is None:
        return named
    return named | {
        "fallback": {
            "channel": fallback.channel,
            "after_seconds": fallback.after.total_seconds(),
            "lifetime_seconds": fallback.lifetime.total_seconds(),
        }
    }


def require_ready_organization(session: Session, user: User) -> None:
    """Raise ResendTooSoonError during provisioning, or OrganizationFailedError."""
    status = session.scalar(select(Organization.status).where(Organization.id == user.organization_id))
    match status:
        case OrganizationStatus.PROVISIONING:
            raise ResendTooSoonError(retry_after_seconds=PROVISIONING_RETRY_SECONDS)
        case OrganizationStatus.FAILED:
            raise OrganizationFailedError
        case OrganizationStatus.READY | None:
            return


def unavailable_organization() -> Any:
    """Return a column with the id of the user's organization if it is unavailable by the last health check.

    A scalar subquery runs only for the user found.
    """
    return (
        select(Organization.id)
        .where(
            Organization.id == User.organization_id,
            (Organization.status != OrganizationStatus.READY)
            | Organization.health.is_distinct_from(HealthStatus.HEALTHY),
        )
        .correlate(User)
        .scalar_subquery()
    )


def may_sign_in(session: Session, user_id: UUID) -> bool:
    """Return whether the user's organization is available; enqueue a repair in the caller's transaction if not."""
    closed_id = session.scalar(select(unavailable_organization()).select_from(User).where(User.id == user_id))
    if closed_id is not None:
        enqueue_repair(session, closed_id)
    return closed_id is None


def enqueue_repair(session: Session, organization_id: UUID) -> None:
    """Enqueue a repair of the organization, unless there was one recently."""
    session.execute(select(func.signpost_enqueue_repair(organization_id, uuid7())))
