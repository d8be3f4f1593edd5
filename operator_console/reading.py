"""What operators see: messages with their recipients masked, and the attempts behind each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, Text, case, func, select, type_coerce
from sqlalchemy.orm import Session

from shared.addresses import masked
from shared.models import DeliveryAttempt, OperatorAction, OutboxMessage, ProviderRow, Word
from shared.vocabulary import Channel, DeadReason, Status, Template

MessageView = dict[str, Any]
"""A message as operators may see it: plain values, in the order in which they are shown."""

ProviderView = dict[str, Any]
"""A provider likewise; its breaker is closed, open or half_open."""


@dataclass(frozen=True)
class MessageFilter:
    """Which messages to list; what is None does not matter."""

    status: Status | None = None
    dead_reason: DeadReason | None = None
    channel: Channel | None = None
    template: Template | None = None


def list_messages(session: Session, wanted: MessageFilter, limit: int) -> list[MessageView]:
    """Return the newest ``limit`` messages that the filter lets through."""
    query = _messages().order_by(OutboxMessage.id.desc()).limit(limit)
    for name, value in vars(wanted).items():
        if value is not None:
            query = query.where(getattr(OutboxMessage, name) == value)
    return [summary(message) for message in session.execute(query)]


def show_message(session: Session, message_id: UUID) -> MessageView | None:
    """Return one message with its failed attempts and what operators did to it, or None."""
    message = session.execute(_messages().where(OutboxMessage.id == message_id)).one_or_none()
    if message is None:
        return None
    return summary(message) | {
        "last_error": _without_recipient(message.last_error, message.recipient),
        "provider_message_id": message.provider_message_id,
        "expires_at": _moment(message.expires_at),
        "leased_until": _moment(message.leased_until),
        **_fallback_view(session, message),
        "attempts": [_attempt_view(attempt, message.recipient) for attempt in _attempts(session, message_id)],
        "operator_actions": [_action_view(action) for action in _actions(session, message_id)],
    }


def list_providers(session: Session) -> list[ProviderView]:
    """Return what the relays know together of each provider; its times are the database's."""
    breaker = case(
        (ProviderRow.openings == 0, "closed"),
        (ProviderRow.open_until > func.now(), "open"),
        else_="half_open",
    )
    query = select(ProviderRow, breaker.label("breaker")).order_by(ProviderRow.name)
    return [_provider_view(row, breaker) for row, breaker in session.execute(query)]


def _provider_view(row: ProviderRow, breaker: str) -> ProviderView:
    return {
        "provider": row.name,
        "breaker": breaker,
        "since": _moment(row.since),
        "open_until": _moment(row.open_until),
        "openings": row.openings,
        "last_failure_class": row.last_failure_class,
        "last_failed_at": _moment(row.last_failed_at),
        "rate": row.rate,
        "seen_at": _moment(row.seen_at),
    }


def summary(message: Row[Any]) -> MessageView:
    """Return what a list shows of a message."""
    return {
        "id": str(message.id),
        "status": message.status,
        "dead_reason": message.dead_reason,
        "template": message.template,
        "channel": message.channel,
        "recipient": masked(message.recipient),
        "attempt": message.attempt,
        "max_attempts": message.max_attempts,
        "provider": message.provider,
        "last_error_class": message.last_error_class,
        "created_at": _moment(message.created_at),
        "due_at": _moment(message.due_at) if message.status == Status.PENDING else None,
        "settled_at": _moment(message.settled_at),
    }


def _messages() -> Select[Any]:
    # Words stay the text they are: a newer release may have written some that this one does not know.
    columns = OutboxMessage.__table__.columns
    return select(*(type_coerce(column, Text) if isinstance(column.type, Word) else column for column in columns))


def _fallback_view(session: Session, message: Row[Any]) -> MessageView:
    """Return when and where the message falls back, and its neighbour on either side if it did."""
    second = select(OutboxMessage.id).where(
        OutboxMessage.user_id == message.user_id, OutboxMessage.fallback_of == message.id
    )
    return {
        "fallback_channel": message.fallback_channel,
        "fallback_at": _moment(message.fallback_at),
        "fallback_of": _text(message.fallback_of),
        "fell_back_to": _text(session.scalar(second)),
    }


def _attempts(session: Session, message_id: UUID) -> Sequence[DeliveryAttempt]:
    query = select(DeliveryAttempt).where(DeliveryAttempt.message_id == message_id).order_by(DeliveryAttempt.id)
    return session.scalars(query).all()


def _actions(session: Session, message_id: UUID) -> Sequence[OperatorAction]:
    query = select(OperatorAction).where(OperatorAction.message_id == message_id).order_by(OperatorAction.id)
    return session.scalars(query).all()


def _attempt_view(attempt: DeliveryAttempt, recipient: str) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "provider": attempt.provider,
        "error_class": attempt.error_class,
        "error": _without_recipient(attempt.error, recipient),
        "ended_at": _moment(attempt.ended_at),
    }


def _action_view(action: OperatorAction) -> dict[str, Any]:
    return {
        "action": action.action,
        "operator": action.operator,
        "reason": action.reason,
        "acted_at": _moment(action.acted_at),
    }


def _without_recipient(error: str | None, recipient: str) -> str | None:
    """Mask the address where a server's reply repeats it."""
    return error.replace(recipient, masked(recipient)) if error else error


def _text(message_id: UUID | None) -> str | None:
    return str(message_id) if message_id else None


def _moment(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
