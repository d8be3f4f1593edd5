"""Organizations, the steps of their provisioning, and lost databases. Each database holds the data of its members."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.ids import uuid7
from shared.models.base import NOW, Base
from shared.vocabulary import OrganizationStatus


class Organization(Base):
    """An organization and the last health check of its database.

    ``health`` is null until the first check, then a HealthStatus. A decoy, created with a taken address, has no
    database. ``repair_id`` is the message of the latest repair. ``drop_until``: a relay is dropping the database until
    then. ``kept_because``: why it is not dropped. ``drop_due_at``: when to check that again.
    """

    __tablename__ = "organizations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    country: Mapped[str | None]
    status: Mapped[OrganizationStatus] = mapped_column(server_default="provisioning")
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
    tables: Mapped[int | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    healthy_at: Mapped[datetime | None]
    check_due_at: Mapped[datetime] = mapped_column(server_default=NOW)
    drop_due_at: Mapped[datetime | None]
    kept_because: Mapped[str | None]


class OrganizationStep(Base):
    """One step of provisioning. A started step may be complete even without ``done_at``."""

    __tablename__ = "organization_steps"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    done_at: Mapped[datetime | None]
    error_class: Mapped[str | None]
    error: Mapped[str | None]


class OrganizationLoss(Base):
    """A lost database: its state at the last successful check, and when it was restored."""

    __tablename__ = "organization_losses"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    found_at: Mapped[datetime] = mapped_column(server_default=NOW)
    healthy_at: Mapped[datetime | None]
    revision: Mapped[str | None]
    tables: Mapped[int | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    restored_at: Mapped[datetime | None]
