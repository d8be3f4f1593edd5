"""The outbox, and the failed attempts of its messages."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from shared.ids import uuid7
from shared.models.base import NOW, Base, EnumText
from shared.templates import TEMPLATES_AND_WORK, AnyTemplate
from shared.vocabulary import CHANNELS, AnyChannel, Channel, DeadReason, Locale, Priority, Status


class OutboxMessage(Base):
    """A message to deliver. Partitioned by range of its id."""

    __tablename__ = "outbox_messages"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    template: Mapped[AnyTemplate] = mapped_column(EnumText(TEMPLATES_AND_WORK))
    channel: Mapped[AnyChannel] = mapped_column(EnumText(CHANNELS))
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
    """A failed attempt. A message that was sent at the first attempt has no row."""

    __tablename__ = "delivery_attempts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[UUID]
    attempt: Mapped[int] = mapped_column(SmallInteger)
    outcome: Mapped[str]
    provider: Mapped[str | None]
    error_class: Mapped[str | None]
    error: Mapped[str | None]
    due_at: Mapped[datetime | None]
    ended_at: Mapped[datetime] = mapped_column(server_default=NOW)
