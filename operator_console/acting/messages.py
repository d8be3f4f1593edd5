"""Messages that are to be acted on: locked, and held against what an act needs."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Text, any_, bindparam, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from operator_console.acting.audit import MessageRow
from operator_console.acting.errors import ErasedError, NotDeadError, SupersededError, UnknownMessageError
from shared.models import OutboxMessage
from shared.vocabulary import ERASED, DeadReason, Status


def locked_message(session: Session, message_id: UUID) -> MessageRow:
    """Return how one message stands. Raises UnknownMessageError."""
    found = locked_messages(session, [message_id])
    if not found:
        raise UnknownMessageError
    return found[0]


def locked_messages(
    session: Session, ids: Sequence[UUID], still: Sequence[ColumnElement[bool]] = (), *, waits: bool = True
) -> Sequence[MessageRow]:
    """Return how those of the messages stand that are ``still`` so now that nobody else can change them.

    Whoever does not wait goes without those that somebody else holds.

    Their words are text: a newer release may have words unknown here. In the order of ids, in which all who lock
    many do it, so that none waits for another in a circle.
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
        OutboxMessage.expiries,
        OutboxMessage.last_error_class,
    ).where(*is_one_of(ids), *still)
    return session.execute(query.order_by(OutboxMessage.id).with_for_update(skip_locked=not waits)).all()


def is_one_of(ids: Sequence[UUID]) -> list[ColumnElement[bool]]:
    """Return the conditions for a message to be one of these, of which there is one at least.

    The bounds have PostgreSQL leave out the other partitions, which an array that it is only given later does not.
    """
    return [
        OutboxMessage.id == any_(bindparam("ids", list(ids), ARRAY(OutboxMessage.id.type), unique=True)),
        OutboxMessage.id >= min(ids),
        OutboxMessage.id <= max(ids),
    ]


def refuse_unless_dead(message: MessageRow, done: str) -> None:
    """Raise NotDeadError, or ErasedError where nobody is left whom it could be about."""
    if message.status != Status.DEAD:
        raise NotDeadError(message.status, done)
    if message.recipient == ERASED:
        raise ErasedError


def refuse_if_replaced(message: MessageRow) -> None:
    """Raise SupersededError: a newer message is the one, and this one was closed with it."""
    if message.dead_reason == DeadReason.SUPERSEDED:
        raise SupersededError
