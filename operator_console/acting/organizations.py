"""What operators may do about organizations' databases: have them looked at, and have them repaired.

Relays do both: no credentials of an organization, and no right to make a database, is needed here.
"""

from collections.abc import Collection
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Row, Text, func, select, true, type_coerce, update
from sqlalchemy.orm import Session

from operator_console.acting.audit import Act, Action, Change, note
from operator_console.acting.errors import NeverReadyError, UnknownOrganizationError
from shared.ids import uuid7
from shared.models import Organization
from shared.vocabulary import WAKE_CHANNEL, OrganizationStatus, Verdict


class Repair(StrEnum):
    """What came of asking for a repair."""

    NOT_NEEDED = "not_needed"
    ENQUEUED = "enqueued"
    UNDER_WAY = "under_way"


def repair(session: Session, organization_id: UUID, act: Act) -> Repair:
    """Enqueue what makes an organization's database whole again, unless it was found in order, or that is under way.

    It is looked at anew in any case. Never commits. Raises UnknownOrganizationError and NeverReadyError.
    """
    organization = _locked(session, organization_id)
    if organization.status != OrganizationStatus.READY:
        raise NeverReadyError(organization.status)
    request_checks(session, [organization_id])
    if organization.health == Verdict.HEALTHY:
        return Repair.NOT_NEEDED
    message_id = uuid7()
    if not session.scalar(select(func.signpost_enqueue_repair(organization_id, message_id, true()))):
        return Repair.UNDER_WAY
    before = {
        "organization_id": str(organization_id),
        "health": organization.health,
        "health_error": organization.health_error,
    }
    note(session, Action.REPAIR, act, Change(message_id, before))
    # In the transaction: at an operator's pace, the lock that NOTIFY takes at commit costs nobody anything.
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))
    return Repair.ENQUEUED


def request_checks(session: Session, organization_ids: Collection[UUID] | None = None) -> int:
    """Have relays look at these organizations' databases next, or at all; return how many there are of them."""
    is_looked_at = [Organization.status == OrganizationStatus.READY, Organization.is_decoy.is_(False)]
    if organization_ids is not None:
        is_looked_at.append(Organization.id.in_(organization_ids))
    asked = session.execute(
        update(Organization)
        .where(*is_looked_at)
        .values(check_due_at=func.now())
        .returning(Organization.id)
        .execution_options(synchronize_session=False)
    )
    return len(asked.all())


def _locked(session: Session, organization_id: UUID) -> Row[str, str | None, str | None]:
    organization = session.execute(
        select(type_coerce(Organization.status, Text).label("status"), Organization.health, Organization.health_error)
        .where(Organization.id == organization_id, Organization.is_decoy.is_(False))
        .with_for_update()
    ).one_or_none()
    if organization is None:
        raise UnknownOrganizationError
    return organization
