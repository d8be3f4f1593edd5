"""Lock messages for an action, and check that it is allowed."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Text, any_, bindparam, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from operator_console.actions.audit import MessageRow
from operator_console.errors import ErasedError, NotDeadError, SupersededError, UnknownMessageError
from shared.models import OutboxMessage
from shared.vocabulary import ERASED, DeadReason, Status


def lock_message(session: Session, message_id: UUID) -> MessageRow:
    """Lock and return one message. Raises UnknownMessageError."""
    found = lock_messages(session, [message_id])
    if not found:
        raise UnknownMessageError
    return found[0]


def lock_messages(
    session: Session, ids: Sequence[UUID], conditions: Sequence[ColumnElement[bool]] = (), *, skip_locked: bool = False
) -> Sequence[MessageRow]:
    """Lock and return those of the messages that meet the conditions.

    Enums are text: a newer release may have stored members unknown to this one. All callers that lock many messages
    lock them in the order of ids, which prevents deadlocks.
    """
    query = select(
        OutboxMessage.id,
        OutboxMessage.token_id,
        OutboxMessage.user_id,
        OutboxMessage.recipient,
        type_coerce(OutboxMessage.channel, Text).label("channel"),
        type_coerce(OutboxMessage.locale, Text).label("locale"),
        type_coerce(OutboxMessage.status, Text).label("status"),
        type_coerce(OutboxMessage.dead_reason, Text).label("dead_reason"),
        OutboxMessage.attempt,
        OutboxMessage.lost_leases,
        OutboxMessage.last_error_class,
    ).where(*has_id_in(ids), *conditions)
    return session.execute(query.order_by(OutboxMessage.id).with_for_update(skip_locked=skip_locked)).all()


def has_id_in(ids: Sequence[UUID]) -> list[ColumnElement[bool]]:
    """Return the conditions that select messages by a non-empty list of ids.

    PostgreSQL prunes partitions by the bounds; it cannot prune them by an array parameter.
    """
    return [
        OutboxMessage.id == any_(bindparam("ids", list(ids), ARRAY(OutboxMessage.id.type), unique=True)),
        OutboxMessage.id >= min(ids),
        OutboxMessage.id <= max(ids),
    ]


def require_dead(message: MessageRow, action: str) -> None:
    """Raise NotDeadError, or ErasedError if the message's user was erased."""
    if message.status != Status.DEAD:
        raise NotDeadError(status=message.status, action=action)
    if message.recipient == ERASED:
        raise ErasedError


def require_not_superseded(message: MessageRow) -> None:
    """Raise SupersededError if a newer message replaced this one."""
    if message.dead_reason == DeadReason.SUPERSEDED:
        raise SupersededError
