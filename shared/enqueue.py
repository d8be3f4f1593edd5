"""Adding a message to the caller's transaction: the one way into the outbox."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Interval, bindparam, func, insert
from sqlalchemy.orm import Session

from shared.ids import uuid7
from shared.models import OutboxMessage
from shared.tracing import current_traceparent
from shared.vocabulary import AnyChannel, AnyTemplate, Channel, Locale

MOST_ATTEMPTS = 200
"""More than the relay's schedules fit into the longest life: what ends a message is its expiry, as a rule."""

LONGEST_LIFE = timedelta(hours=72)
"""Of a message that tells of nothing that expires by itself: it is not tried for ever."""


@dataclass(frozen=True)
class NewFallback:
    """The channel that takes over ``after`` a while without a provider's yes, or as soon as the address is refused.

    ``lifetime`` is how long the code works that goes there.
    """

    channel: Channel
    after: timedelta
    lifetime: timedelta


@dataclass(frozen=True)
class NewMessage:
    """What to tell whom. The payload never holds a secret; what is derived is derived by the relay."""

    template: AnyTemplate
    channel: AnyChannel
    recipient: str
    locale: Locale
    payload: dict[str, Any] = field(repr=False)
    user_id: UUID | None = None
    token_id: UUID | None = None
    expires_at: datetime | None = None
    fallback: NewFallback | None = None
    max_attempts: int = MOST_ATTEMPTS


@dataclass(frozen=True)
class EnqueuedMessage:
    """A message as it was added; it is due from the moment of its transaction."""

    id: UUID
    recipient: str = field(repr=False)
    created_at: datetime
    due_at: datetime


# Put together once, and past the unit of work: as an object of the session's, a row costs twice the CPU.
ADD = (
    insert(OutboxMessage)
    .values(
        expires_at=func.coalesce(bindparam("ends_at", type_=DateTime(timezone=True)), func.now() + LONGEST_LIFE),
        fallback_at=func.now() + bindparam("fallback_after", type_=Interval()),
    )
    .returning(OutboxMessage.created_at, OutboxMessage.due_at)
)


def enqueue(session: Session, new: NewMessage) -> EnqueuedMessage:
    """Add the message to the caller's transaction, due at once.

    Never commits: the message exists if, and only if, what it tells of does. One without an end of its
    own is given LONGEST_LIFE.
    """
    message_id = uuid7()
    added = session.connection().execute(ADD, {"id": message_id, **_columns(new), **_fallback(new.fallback)}).one()
    return EnqueuedMessage(message_id, new.recipient, added.created_at, added.due_at)


def _columns(new: NewMessage) -> dict[str, Any]:
    return {
        "template": new.template,
        "urgency": new.template.urgency,
        "channel": new.channel,
        "recipient": new.recipient,
        "locale": new.locale,
        "payload": new.payload,
        "user_id": new.user_id,
        "token_id": new.token_id,
        "max_attempts": new.max_attempts,
        "traceparent": current_traceparent(),
        "ends_at": new.expires_at,
    }


def _fallback(fallback: NewFallback | None) -> dict[str, Any]:
    return {
        "fallback_channel": fallback.channel if fallback else None,
        "fallback_lifetime": fallback.lifetime if fallback else None,
        "fallback_after": fallback.after if fallback else None,
    }
