"""State that the relays share."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Double, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.models.base import NOW, Base


class FallbackBudget(Base):
    """Number of fallbacks to SMS per UTC day and scope. Phone numbers are stored as keyed hashes."""

    __tablename__ = "fallback_budgets"

    day: Mapped[date] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    spent: Mapped[int]


class LeaderLease(Base):
    """One row: the relay that does the maintenance for all, until its lease ends."""

    __tablename__ = "leader_lease"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, server_default="1")
    holder: Mapped[UUID | None]
    leased_until: Mapped[datetime] = mapped_column(server_default=NOW)


class ProviderRow(Base):
    """Shared state of one provider. Its circuit breaker is closed while ``consecutive_opens`` is 0."""

    __tablename__ = "providers"

    name: Mapped[str] = mapped_column(primary_key=True)
    rate: Mapped[str | None]
    tokens: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    refilled_at: Mapped[datetime | None]
    consecutive_opens: Mapped[int] = mapped_column(default=0, server_default="0")
    open_until: Mapped[datetime | None]
    probe_by: Mapped[UUID | None]
    probe_until: Mapped[datetime | None]
    since: Mapped[datetime] = mapped_column(server_default=NOW)
    last_failure_class: Mapped[str | None]
    last_failed_at: Mapped[datetime | None]
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ReportedCause(Base):
    """When operators were last notified of a cause. The next notification follows an hour later at the earliest."""

    __tablename__ = "reported_causes"

    cause: Mapped[str] = mapped_column(primary_key=True)
    reported_at: Mapped[datetime] = mapped_column(server_default=NOW)


class RelayRow(Base):
    """Heartbeat of a relay, which counts as alive for RELAY_ALIVE_SECONDS after it."""

    __tablename__ = "relays"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    version: Mapped[str]
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    batch_size: Mapped[int]
    connections: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
