"""Rate limits, and stored responses for idempotency keys."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, LargeBinary, SmallInteger
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.models.base import NOW, Base


class IdempotencyKey(Base):
    """The response to a request with an Idempotency-Key, stored in the request's own transaction.

    ``id`` is a hash of the key and its endpoint, ``fingerprint`` a MAC of the request. Neither reveals the key or a
    password. The row is deleted together with the user that the response is about.
    """

    __tablename__ = "idempotency_keys"

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any]]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))


class RateLimit(Base):
    """Hits of one subject against one limit within its period, oldest first.

    ``is_admitted`` shows whether the last hit was admitted. UNLOGGED: a crash of the server empties the table.
    """

    __tablename__ = "rate_limits"

    key: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int]
    period: Mapped[timedelta]
    hits: Mapped[list[datetime]] = mapped_column(ARRAY(DateTime(timezone=True)))
    is_admitted: Mapped[bool] = mapped_column(server_default="true")
    ends_at: Mapped[datetime]
