"""Organizations and the health of their databases."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from operator_console.errors import UnknownOrganizationError
from operator_console.views import LossView, OrganizationDetail, OrganizationPage, OrganizationView, StepView, from_row
from shared.models import Organization, OrganizationLoss, OrganizationMember, OrganizationStep
from shared.vocabulary import HealthStatus, OrganizationStatus


def list_organizations(
    session: Session, *, health: HealthStatus | None = None, limit: int = 50, cursor: UUID | None = None
) -> OrganizationPage:
    """Return up to ``limit`` organizations of that health, created before ``cursor``, newest first.

    Decoys and planned organizations are left out: strangers can add any number of them.
    """
    query = (
        select(Organization)
        .where(Organization.is_decoy.is_(False), Organization.status != OrganizationStatus.PLANNED)
        .order_by(Organization.id.desc())
    )
    if health is not None:
        query = query.where(Organization.health == health.value)
    if cursor is not None:
        query = query.where(Organization.id < cursor)
    rows = session.scalars(query.limit(limit + 1)).all()
    shown = tuple(from_row(OrganizationView, row, status=_status(row)) for row in rows[:limit])
    return OrganizationPage(shown, next_cursor=shown[-1].id if len(rows) > limit else None)


def healthy_ids(session: Session) -> list[UUID]:
    """Return the ids of the organizations with a healthy database, oldest first."""
    is_healthy = (Organization.health == HealthStatus.HEALTHY, Organization.status == OrganizationStatus.READY)
    return list(session.scalars(select(Organization.id).where(*is_healthy).order_by(Organization.id)))


def show_organization(session: Session, organization_id: UUID) -> OrganizationDetail:
    """Return one organization with its provisioning steps and losses. Raises UnknownOrganizationError."""
    row = session.scalars(
        select(Organization).where(Organization.id == organization_id, Organization.is_decoy.is_(False))
    ).one_or_none()
    if row is None:
        raise UnknownOrganizationError
    steps = (
        select(OrganizationStep)
        .where(OrganizationStep.organization_id == organization_id)
        .order_by(OrganizationStep.started_at)
    )
    losses = (
        select(OrganizationLoss)
        .where(OrganizationLoss.organization_id == organization_id)
        .order_by(OrganizationLoss.found_at.desc())
    )
    members = select(func.count()).where(OrganizationMember.organization_id == organization_id)
    return from_row(
        OrganizationDetail,
        row,
        status=_status(row),
        members=session.scalar(members),
        steps=tuple(from_row(StepView, step, started_at=step.started_at) for step in session.scalars(steps)),
        losses=tuple(from_row(LossView, loss) for loss in session.scalars(losses)),
    )


def _status(row: Organization) -> str:
    """Return the status for operators: to relays, a removed organization is a failed one."""
    return "removed" if row.is_removed else row.status.value
