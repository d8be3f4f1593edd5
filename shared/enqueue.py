"""Add a message to the outbox, in the caller's transaction."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Interval, bindparam, func, insert
from sqlalchemy.orm import Session

from shared.ids import uuid7
from shared.models import OutboxMessage
from shared.templates import AnyTemplate
from shared.tracing import current_traceparent
from shared.vocabulary import AnyChannel, Channel, Locale

MAX_ATTEMPTS = 200
"""More than the retry schedule allows before a message expires, so that normally the expiry ends the attempts."""

LONGEST_LIFE = timedelta(hours=72)
"""Lifetime of a message whose content does not expire."""


@dataclass(frozen=True)
class NewFallback:
    """The channel to use ``after`` a while without acceptance, or as soon as a provider rejects the address.

    ``lifetime`` is that of the code in the fallback message.
    """

    channel: Channel
    after: timedelta
    lifetime: timedelta


@dataclass(frozen=True)
class NewMessage:
    """A message to enqueue. The payload contains no secrets: the relay derives codes and links."""

    template: AnyTemplate
    channel: AnyChannel
    recipient: str
    locale: Locale
    payload: dict[str, Any] = field(repr=False)
    user_id: UUID | None = None
    token_id: UUID | None = None
    expires_at: datetime | None = None
    fallback: NewFallback | None = None
    max_attempts: int = MAX_ATTEMPTS


@dataclass(frozen=True)
class EnqueuedMessage:
    """An enqueued message, due at the start of its transaction."""

    id: UUID
    recipient: str = field(repr=False)
    created_at: datetime
    due_at: datetime


# A Core statement, built once: inserting an ORM object costs twice the CPU.
ADD = (
    insert(OutboxMessage)
    .values(
        expires_at=func.coalesce(bindparam("ends_at", type_=DateTime(timezone=True)), func.now() + LONGEST_LIFE),
        fallback_at=func.now() + bindparam("fallback_after", type_=Interval()),
    )
    .returning(OutboxMessage.created_at, OutboxMessage.due_at)
)


def enqueue(session: Session, new: NewMessage) -> EnqueuedMessage:
    """Insert the message in the caller's transaction, due immediately.

    The caller commits: the message exists if and only if the change that it reports does. Without ``expires_at``, it
    expires after LONGEST_LIFE.
    """
    message_id = uuid7()
    added = session.connection().execute(ADD, {"id": message_id, **_columns(new)}).one()
    return EnqueuedMessage(message_id, new.recipient, added.created_at, added.due_at)


def _columns(new: NewMessage) -> dict[str, Any]:
    fallback = new.fallback
    return {
        "template": new.template,
        "priority": new.template.priority,
        "channel": new.channel,
        "recipient": new.recipient,
        "locale": new.locale,
        "payload": new.payload,
        "user_id": new.user_id,
        "token_id": new.token_id,
        "max_attempts": new.max_attempts,
        "traceparent": current_traceparent(),
        "ends_at": new.expires_at,
        "fallback_channel": fallback and fallback.channel,
        "fallback_lifetime": fallback and fallback.lifetime,
        "fallback_after": fallback and fallback.after,
    }
