"""Organizations: founded with a registration, and looked at when a member signs in."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from api_service.errors import OrganizationFailedError, ResendTooSoonError
from api_service.use_cases.tokens import GivenToken, NewUser
from shared.enqueue import NewFallback, NewMessage
from shared.ids import uuid7
from shared.models import Organization, User
from shared.organizations import database_name_of
from shared.vocabulary import OrganizationStatus, Purpose, Verdict, Work, WorkChannel

MOST_PROVISIONING_ATTEMPTS = 8
"""Of failures that are the organization's own, which as a rule do not pass; the server's cost no attempt."""
FOUNDING_SECONDS = 5
"""After which to ask again about an organization that is not there yet."""


@dataclass(frozen=True)
class NewOrganization:
    """What someone who registers would found; the country is an ISO 3166-1 alpha-2 code."""

    name: str = field(repr=False)
    country: str | None


@dataclass(frozen=True)
class OrganizationStanding:
    """How an organization stands, as whoever founds it may see it."""

    name: str = field(repr=False)
    status: OrganizationStatus


def found_organization(
    session: Session, organization: NewOrganization, user: NewUser, token: GivenToken, message: NewMessage
) -> NewMessage:
    """Add the user's organization to the caller's transaction; return what provisions it, and sends ``message`` then.

    ``message`` is in its payload, without secret and address: it is enqueued by whoever settles a successful
    provisioning. For a taken address all goes the same way, and no database is made.
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
        payload=message.payload | _sequel(organization_id, token, message.fallback),
        user_id=user.id,
        max_attempts=MOST_PROVISIONING_ATTEMPTS,
    )


def _sequel(organization_id: UUID, token: GivenToken, fallback: NewFallback | None) -> dict[str, Any]:
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


def refuse_until_ready(session: Session, user: User) -> None:
    """Refuse to send again what has not been sent yet, or never will be.

    Raises ResendTooSoonError while the user's organization is being provisioned, and OrganizationFailedError.
    """
    status = session.scalar(select(Organization.status).where(Organization.id == user.organization_id))
    match status:
        case OrganizationStatus.PROVISIONING:
            raise ResendTooSoonError(retry_after_seconds=FOUNDING_SECONDS)
        case OrganizationStatus.FAILED:
            raise OrganizationFailedError
        case OrganizationStatus.READY | None:
            return


def closed_organization() -> Any:
    """Return the column that names a user's organization while it must not be entered, by the last verdict on it.

    A scalar subquery, so that it is looked up for the user found, and for nobody without an organization.
    """
    return (
        select(Organization.id)
        .where(
            Organization.id == User.organization_id,
            (Organization.status != OrganizationStatus.READY) | Organization.health.is_distinct_from(Verdict.HEALTHY),
        )
        .correlate(User)
        .scalar_subquery()
    )


def may_enter(session: Session, user_id: UUID) -> bool:
    """Tell whether the user may enter now: if not, a repair has been asked for in the caller's transaction."""
    closed_id = session.scalar(select(closed_organization()).select_from(User).where(User.id == user_id))
    if closed_id is not None:
        enqueue_repair(session, closed_id)
    return closed_id is None


def enqueue_repair(session: Session, organization_id: UUID) -> None:
    """Ask for the organization's repair in the caller's transaction, unless that was done just now."""
    session.execute(select(func.signpost_enqueue_repair(organization_id, uuid7())))
