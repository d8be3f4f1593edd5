"""Health checks and repairs of organizations' databases.

The relays carry them out, so the console needs neither an organization's credentials nor the right to create databases.
"""

from collections.abc import Collection
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Row, Text, func, select, true, type_coerce, update
from sqlalchemy.orm import Session

from operator_console.actions.audit import Action, AuditContext
from operator_console.errors import OrganizationNotReadyError, UnknownOrganizationError
from shared.ids import uuid7
from shared.models import Organization
from shared.vocabulary import WAKE_CHANNEL, HealthStatus, OrganizationStatus


class Repair(StrEnum):
    """The result of a request for a repair."""

    NOT_NEEDED = "not_needed"
    ENQUEUED = "enqueued"
    UNDER_WAY = "under_way"


def repair(session: Session, organization_id: UUID, audit: AuditContext) -> Repair:
    """Request a health check of an organization's database, and enqueue a repair unless it is healthy or repairing.

    Raises UnknownOrganizationError and OrganizationNotReadyError. The caller commits.
    """
    organization = _locked(session, organization_id)
    if organization.status != OrganizationStatus.READY:
        raise OrganizationNotReadyError(status=organization.status)
    request_checks(session, [organization_id])
    if organization.health == HealthStatus.HEALTHY:
        return Repair.NOT_NEEDED
    message_id = uuid7()
    if not session.scalar(select(func.signpost_enqueue_repair(organization_id, message_id, true()))):
        return Repair.UNDER_WAY
    before = {
        "organization_id": str(organization_id),
        "health": organization.health,
        "health_error": organization.health_error,
    }
    session.add(audit.row(Action.REPAIR, message_id, before))
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))
    return Repair.ENQUEUED


def request_checks(session: Session, organization_ids: Collection[UUID] | None = None) -> int:
    """Have the relays check these organizations' databases next, or all of them; return their number."""
    is_checked = [Organization.status == OrganizationStatus.READY, Organization.is_decoy.is_(False)]
    if organization_ids is not None:
        is_checked.append(Organization.id.in_(organization_ids))
    due = session.execute(
        update(Organization)
        .where(*is_checked)
        .values(check_due_at=func.now())
        .returning(Organization.id)
        .execution_options(synchronize_session=False)
    )
    return len(due.all())


def _locked(session: Session, organization_id: UUID) -> Row[str, str | None, str | None]:
    organization = session.execute(
        select(type_coerce(Organization.status, Text).label("status"), Organization.health, Organization.health_error)
        .where(Organization.id == organization_id, Organization.is_decoy.is_(False))
        .with_for_update()
    ).one_or_none()
    if organization is None:
        raise UnknownOrganizationError
    return organization
