"""Operators' tokens, sessions and actions, and the counts that the console shows."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, Identity, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.ids import uuid7
from shared.models.base import NOW, Base


class OperatorAction(Base):
    """Audit entry: who changed or revealed what, and why. Addresses are masked."""

    __tablename__ = "operator_actions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    operator: Mapped[str]
    action: Mapped[str]
    message_id: Mapped[UUID | None]
    reason: Mapped[str]
    before: Mapped[dict[str, Any]]
    acted_at: Mapped[datetime] = mapped_column(server_default=NOW)
    after: Mapped[dict[str, Any] | None]
    bulk_id: Mapped[UUID | None]


class OperatorToken(Base):
    """A token for the console, stored as its SHA-256."""

    __tablename__ = "operator_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    token_hash: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class BulkActRow(Base):
    """A requeue or discard of all messages that match a filter, with its progress."""

    __tablename__ = "bulk_actions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    action: Mapped[str]
    operator: Mapped[str]
    reason: Mapped[str]
    wanted: Mapped[dict[str, Any]]
    per_minute: Mapped[int | None]
    status: Mapped[str] = mapped_column(server_default="running")
    found: Mapped[int]
    acted: Mapped[int] = mapped_column(default=0, server_default="0")
    skipped: Mapped[int] = mapped_column(default=0, server_default="0")
    cursor: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    next_step_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[datetime | None]


class HourlyStats(Base):
    """Number of messages sent or dead per channel and hour. The relays update it every few seconds."""

    __tablename__ = "hourly_stats"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(primary_key=True)
    messages: Mapped[int] = mapped_column(BigInteger)


class ConsoleSession(Base):
    """An operator's browser session. ``id`` is the SHA-256 of the cookie's value."""

    __tablename__ = "console_sessions"

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    token_id: Mapped[UUID] = mapped_column(ForeignKey("operator_tokens.id", ondelete="CASCADE"))
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    used_at: Mapped[datetime] = mapped_column(server_default=NOW)
