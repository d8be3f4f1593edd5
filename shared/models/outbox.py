"""The outbox, and the failed attempts of its messages."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.ids import uuid7
from shared.models.base import NOW, Base, EnumText
from shared.vocabulary import (
    AnyChannel,
    AnyTemplate,
    Channel,
    DeadReason,
    Locale,
    Priority,
    Status,
    Template,
    Work,
    WorkChannel,
)


class OutboxMessage(Base):
    """A message to deliver. Partitioned by range of its id."""

    __tablename__ = "outbox_messages"
    __table_args__ = (
        CheckConstraint("status in ('pending', 'sent', 'dead')", name="status"),
        CheckConstraint("channel in ('email', 'sms', 'provision')", name="channel"),
        CheckConstraint("priority in ('high', 'low')", name="priority"),
        CheckConstraint("(status = 'dead') = (dead_reason is not null)", name="dead_has_reason"),
        CheckConstraint("(status = 'pending') = (settled_at is null)", name="settled_has_time"),
        CheckConstraint("(lease_token is null) = (leased_until is null)", name="lease_has_end"),
        CheckConstraint(
            " and ".join(
                f"{column} >= '0001-01-02 00:00:00+00' and {column} < '9999-01-01 00:00:00+00'"
                for column in ("due_at", "created_at", "expires_at")
            ),
            name="finite_times",
        ),
        CheckConstraint(
            "fallback_at is null or (fallback_channel in ('email', 'sms') and fallback_channel <> channel"
            " and fallback_lifetime is not null and isfinite(fallback_at))",
            name="fallback_is_whole",
        ),
        Index(
            "ix_outbox_messages_due", "channel", "priority", "due_at", "id", postgresql_where=text("status = 'pending'")
        ),
        Index(
            "ix_outbox_messages_suspect",
            "due_at",
            "id",
            postgresql_where=text("status = 'pending' and lost_leases >= 1"),
        ),
        Index("ix_outbox_messages_dead", "settled_at", "id", postgresql_where=text("status = 'dead'")),
        Index("ix_outbox_messages_dead_id", "id", postgresql_where=text("status = 'dead'")),
        Index(
            "ix_outbox_messages_cause",
            text("signpost_cause(dead_reason, provider, last_error)"),
            "id",
            postgresql_include=["settled_at", "dead_reason", "provider", "last_error"],
            postgresql_where=text("status = 'dead'"),
        ),
        Index("ix_outbox_messages_user_id", "user_id", "created_at"),
        Index(
            "ix_outbox_messages_fallback_at",
            "fallback_at",
            postgresql_where=text("fallback_at is not null and status <> 'sent'"),
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    template: Mapped[AnyTemplate] = mapped_column(EnumText(Template, Work))
    channel: Mapped[AnyChannel] = mapped_column(EnumText(Channel, WorkChannel))
    recipient: Mapped[str]
    locale: Mapped[Locale]
    payload: Mapped[dict[str, Any]]
    user_id: Mapped[UUID | None]
    token_id: Mapped[UUID | None]
    status: Mapped[Status] = mapped_column(default=Status.PENDING, server_default="pending")
    dead_reason: Mapped[DeadReason | None]
    attempt: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    lost_leases: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=NOW)
    leased_until: Mapped[datetime | None]
    lease_token: Mapped[UUID | None]
    expires_at: Mapped[datetime | None]
    provider: Mapped[str | None]
    provider_message_id: Mapped[str | None]
    last_error_class: Mapped[str | None]
    last_error: Mapped[str | None]
    traceparent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    settled_at: Mapped[datetime | None]
    priority: Mapped[Priority] = mapped_column(server_default="high")
    fallback_channel: Mapped[Channel | None]
    fallback_lifetime: Mapped[timedelta | None]
    fallback_at: Mapped[datetime | None]
    fallback_of: Mapped[UUID | None]


class DeliveryAttempt(Base):
    """A failed attempt. A message that was sent at once has none."""

    __tablename__ = "delivery_attempts"
    __table_args__ = (Index("ix_delivery_attempts_message_id", "message_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[UUID]
    attempt: Mapped[int] = mapped_column(SmallInteger)
    outcome: Mapped[str]
    provider: Mapped[str | None]
    error_class: Mapped[str | None]
    error: Mapped[str | None]
    due_at: Mapped[datetime | None]
    ended_at: Mapped[datetime] = mapped_column(server_default=NOW)
