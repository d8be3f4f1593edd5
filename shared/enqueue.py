"""Adding a message to the caller's transaction: the one way into the outbox."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from shared.models import OutboxMessage
from shared.vocabulary import Channel, Locale, Template

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

    template: Template
    channel: Channel
    recipient: str
    locale: Locale
    payload: dict[str, Any] = field(repr=False)
    user_id: UUID | None = None
    token_id: UUID | None = None
    expires_at: datetime | None = None
    fallback: NewFallback | None = None


def enqueue(session: Session, new: NewMessage) -> OutboxMessage:
    """Add the message to the caller's transaction, due at once.

    Never commits: the message exists if, and only if, what it tells of does. One without an end of its
    own is given LONGEST_LIFE.
    """
    message = OutboxMessage(
        template=new.template,
        urgency=new.template.urgency,
        channel=new.channel,
        recipient=new.recipient,
        locale=new.locale,
        payload=new.payload,
        user_id=new.user_id,
        token_id=new.token_id,
        max_attempts=MOST_ATTEMPTS,
        expires_at=func.now() + LONGEST_LIFE if new.expires_at is None else new.expires_at,
        **(_fallback_columns(new.fallback) if new.fallback else {}),
    )
    session.add(message)
    session.flush()
    return message


def _fallback_columns(fallback: NewFallback) -> dict[str, Any]:
    return {
        "fallback_channel": fallback.channel,
        "fallback_lifetime": fallback.lifetime,
        "fallback_at": func.now() + fallback.after,
    }
