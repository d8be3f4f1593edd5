"""Organizations and the health of their databases."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from operator_console.errors import UnknownOrganizationError
from operator_console.views import LossView, OrganizationDetail, OrganizationPage, OrganizationView, StepView
from shared.models import Organization, OrganizationLoss, OrganizationStep
from shared.vocabulary import HealthStatus


def list_organizations(
    session: Session, *, health: HealthStatus | None = None, limit: int = 50, cursor: UUID | None = None
) -> OrganizationPage:
    """Return up to ``limit`` organizations of that health, created before ``cursor``, newest first, without decoys."""
    query = select(Organization).where(Organization.is_decoy.is_(False)).order_by(Organization.id.desc())
    if health is not None:
        query = query.where(Organization.health == health.value)
    if cursor is not None:
        query = query.where(Organization.id < cursor)
    rows = session.scalars(query.limit(limit + 1)).all()
    shown = tuple(_view(row) for row in rows[:limit])
    return OrganizationPage(shown, next_cursor=shown[-1].id if len(rows) > limit else None)


def show_organization(session: Session, organization_id: UUID) -> OrganizationDetail:
    """Return one organization with its provisioning steps and losses. Raises UnknownOrganizationError."""
    row = session.scalars(
        select(Organization).where(Organization.id == organization_id, Organization.is_decoy.is_(False))
    ).one_or_none()
    if row is None:
        raise UnknownOrganizationError
    return OrganizationDetail(
        **vars(_view(row)),
        country=row.country,
        founder_id=row.founder_id,
        database_name=row.database_name,
        ready_at=row.ready_at,
        failed_at=row.failed_at,
        healthy_at=row.healthy_at,
        check_due_at=row.check_due_at,
        repair_id=row.repair_id,
        dropped_at=row.dropped_at,
        kept_because=row.kept_because,
        steps=_steps_of(session, organization_id),
        losses=_losses_of(session, organization_id),
    )


def _view(row: Organization) -> OrganizationView:
    return OrganizationView(
        id=row.id,
        name=row.name,
        status=row.status.value,
        health=row.health,
        health_error=row.health_error,
        revision=row.revision,
        tables=row.tables,
        size_bytes=row.size_bytes,
        checked_at=row.checked_at,
        created_at=row.created_at,
    )


def _steps_of(session: Session, organization_id: UUID) -> tuple[StepView, ...]:
    query = (
        select(OrganizationStep)
        .where(OrganizationStep.organization_id == organization_id)
        .order_by(OrganizationStep.begun_at)
    )
    return tuple(
        StepView(row.step, row.begun_at, row.done_at, row.error_class, row.error) for row in session.scalars(query)
    )


def _losses_of(session: Session, organization_id: UUID) -> tuple[LossView, ...]:
    query = (
        select(OrganizationLoss)
        .where(OrganizationLoss.organization_id == organization_id)
        .order_by(OrganizationLoss.found_at.desc())
    )
    return tuple(
        LossView(row.found_at, row.healthy_at, row.revision, row.tables, row.size_bytes, row.restored_at)
        for row in session.scalars(query)
    )
