"""Organizations, whose members' data is in a database of each one's own, and the steps that made it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.ids import uuid7
from shared.models.base import NOW, Base
from shared.vocabulary import OrganizationStatus


class Organization(Base):
    """What someone founded when they registered, and how its database was last found.

    ``health`` is null until somebody has looked; then it is HEALTHY, or another word for what is wrong. A decoy
    has no database: it was founded under an address that belongs to somebody else. ``repair_id`` is the last
    message that asked for a repair; ``drop_until`` is for how long someone is dropping what was half built.
    """

    __tablename__ = "organizations"
    __table_args__ = (
        UniqueConstraint("database_name"),
        CheckConstraint("status in ('provisioning', 'ready', 'failed')", name="status"),
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country"),
        CheckConstraint("database_name = 'org_' || replace(id::text, '-', '')", name="database_name"),
        CheckConstraint("(status = 'ready') = (ready_at is not null)", name="ready_has_time"),
        CheckConstraint("(status = 'failed') = (failed_at is not null)", name="failed_has_time"),
        Index("ix_organizations_failed_at", "failed_at", postgresql_where=text("status = 'failed'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    country: Mapped[str | None]
    status: Mapped[OrganizationStatus] = mapped_column(
        default=OrganizationStatus.PROVISIONING, server_default="provisioning"
    )
    founder_id: Mapped[UUID]
    database_name: Mapped[str]
    is_decoy: Mapped[bool] = mapped_column(default=False, server_default="false")
    revision: Mapped[str | None]
    health: Mapped[str | None]
    health_error: Mapped[str | None]
    checked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ready_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    drop_until: Mapped[datetime | None]
    dropped_at: Mapped[datetime | None]
    repair_id: Mapped[UUID | None]


class OrganizationStep(Base):
    """One step on the way to an organization's database: what has begun may have been done, also without an end."""

    __tablename__ = "organization_steps"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    begun_at: Mapped[datetime] = mapped_column(server_default=NOW)
    done_at: Mapped[datetime | None]
    error_class: Mapped[str | None]
    error: Mapped[str | None]
