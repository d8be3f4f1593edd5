"""The tables, as every process sees them; the numbered files in migrations make them.

Each moment is PostgreSQL's: the processes compare times that others wrote, and their clocks differ.
"""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Text,
    TypeDecorator,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.ids import uuid7
from shared.vocabulary import Channel, DeadReason, Locale, Purpose, Status, Template, Urgency, UserStatus

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

NOW = text("now()")


class Word(TypeDecorator[StrEnum]):
    """One of a closed set, kept as text: the set can then grow while the previous release still runs."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give the driver plain text."""
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give the code the member; a word that is not of the set raises ValueError."""
        return None if value is None else self.kind(value)


class Base(DeclarativeBase):
    """Common ground: aware datetimes, text without a length, JSON as jsonb, constraints with names."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        datetime: DateTime(timezone=True),
        str: Text(),
        UUID: Uuid(),
        dict[str, Any]: JSONB(),
        Channel: Word(Channel),
        Status: Word(Status),
        DeadReason: Word(DeadReason),
        Template: Word(Template),
        Urgency: Word(Urgency),
        Purpose: Word(Purpose),
        UserStatus: Word(UserStatus),
        Locale: Word(Locale),
    }


class User(Base):
    """Someone who registered. Its id is also the registration's, and so is random, not ordered.

    An address belongs to the active user who proved it; pending users may share it, so that
    registering an address that is taken looks like registering any other.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("email is not null or phone is not null", name="has_address"),
        CheckConstraint("(email is null) = (email_canonical is null)", name="email_has_both_forms"),
        CheckConstraint("status in ('pending', 'active', 'retired')", name="status"),
        Index(
            "uq_users_active_email",
            "email_canonical",
            unique=True,
            postgresql_where=text("email_verified_at is not null"),
        ),
        Index("uq_users_active_phone", "phone", unique=True, postgresql_where=text("phone_verified_at is not null")),
        Index("ix_users_pending_email", "email_canonical", postgresql_where=text("status = 'pending'")),
        Index("ix_users_pending_phone", "phone", postgresql_where=text("status = 'pending'")),
        Index("ix_users_inactive", "created_at", postgresql_where=text("status in ('pending', 'retired')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    status: Mapped[UserStatus] = mapped_column(default=UserStatus.PENDING, server_default="pending")
    email: Mapped[str | None]
    email_canonical: Mapped[str | None]
    email_verified_at: Mapped[datetime | None]
    phone: Mapped[str | None]
    phone_verified_at: Mapped[datetime | None]
    password_hash: Mapped[str]
    full_name: Mapped[str | None]
    locale: Mapped[Locale]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    activated_at: Mapped[datetime | None]


class Token(Base):
    """A right to do one thing once. The code and the link are derived from its id, never kept."""

    __tablename__ = "tokens"
    __table_args__ = (
        CheckConstraint("purpose in ('activation', 'decoy')", name="purpose"),
        CheckConstraint("channel in ('email', 'sms')", name="channel"),
        CheckConstraint("attempts_left >= 0", name="attempts_left"),
        Index("ix_tokens_user_id", "user_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[Purpose]
    channel: Mapped[Channel]
    key_id: Mapped[str]
    attempts_left: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class OutboxMessage(Base):
    """A promise to tell someone something, kept by the relay. Partitioned by range of its own id."""

    __tablename__ = "outbox_messages"
    __table_args__ = (
        CheckConstraint("status in ('pending', 'sent', 'dead')", name="status"),
        CheckConstraint("channel in ('email', 'sms')", name="channel"),
        CheckConstraint("(status = 'dead') = (dead_reason is not null)", name="dead_has_reason"),
        CheckConstraint("(status = 'pending') = (settled_at is null)", name="settled_has_time"),
        CheckConstraint("(lease_token is null) = (leased_until is null)", name="lease_has_end"),
        CheckConstraint(
            "isfinite(due_at) and isfinite(created_at) and (expires_at is null or isfinite(expires_at))",
            name="finite_times",
        ),
        CheckConstraint(
            "fallback_at is null or (fallback_channel in ('email', 'sms') and fallback_channel <> channel"
            " and fallback_lifetime is not null and isfinite(fallback_at))",
            name="fallback_is_whole",
        ),
        Index(
            "ix_outbox_messages_due", "channel", "urgency", "due_at", "id", postgresql_where=text("status = 'pending'")
        ),
        Index(
            "ix_outbox_messages_suspect",
            "due_at",
            "id",
            postgresql_where=text("status = 'pending' and expiries + (lease_token is not null)::integer >= 2"),
        ),
        Index("ix_outbox_messages_dead", "settled_at", "id", postgresql_where=text("status = 'dead'")),
        Index("ix_outbox_messages_user_id", "user_id", "created_at"),
        Index(
            "ix_outbox_messages_fallback_at",
            "fallback_at",
            postgresql_where=text("fallback_at is not null and status <> 'sent'"),
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    template: Mapped[Template]
    channel: Mapped[Channel]
    recipient: Mapped[str]
    locale: Mapped[Locale]
    payload: Mapped[dict[str, Any]]
    user_id: Mapped[UUID | None]
    token_id: Mapped[UUID | None]
    status: Mapped[Status] = mapped_column(default=Status.PENDING, server_default="pending")
    dead_reason: Mapped[DeadReason | None]
    attempt: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    expiries: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
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
    urgency: Mapped[Urgency] = mapped_column(server_default="code")
    fallback_channel: Mapped[Channel | None]
    fallback_lifetime: Mapped[timedelta | None]
    fallback_at: Mapped[datetime | None]
    fallback_of: Mapped[UUID | None]


class FallbackBudget(Base):
    """How many messages fell back to SMS on a day (UTC) within a scope; numbers stand there as keyed hashes."""

    __tablename__ = "fallback_budgets"

    day: Mapped[date] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    spent: Mapped[int]


class DeliveryAttempt(Base):
    """What went wrong in one try. A message that went out at once has none."""

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


class OperatorAction(Base):
    """Who changed what in the outbox by hand, and why."""

    __tablename__ = "operator_actions"
    __table_args__ = (Index("ix_operator_actions_message_id", "message_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    operator: Mapped[str]
    action: Mapped[str]
    message_id: Mapped[UUID]
    reason: Mapped[str]
    before: Mapped[dict[str, Any]]
    acted_at: Mapped[datetime] = mapped_column(server_default=NOW)


class UpkeepLease(Base):
    """One row: the relay that does the upkeep for all, until its lease ends."""

    __tablename__ = "upkeep_lease"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, server_default="1")
    holder: Mapped[UUID | None]
    leased_until: Mapped[datetime] = mapped_column(server_default=NOW)


class ProviderRow(Base):
    """What all relays know together of one provider. Its breaker is closed while ``openings`` is 0."""

    __tablename__ = "providers"
    __table_args__ = (CheckConstraint("(openings = 0) = (open_until is null)", name="open_has_end"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    rate: Mapped[str | None]
    tokens: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    refilled_at: Mapped[datetime | None]
    openings: Mapped[int] = mapped_column(default=0, server_default="0")
    open_until: Mapped[datetime | None]
    probe_by: Mapped[UUID | None]
    probe_until: Mapped[datetime | None]
    since: Mapped[datetime] = mapped_column(server_default=NOW)
    last_failure_class: Mapped[str | None]
    last_failed_at: Mapped[datetime | None]
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
