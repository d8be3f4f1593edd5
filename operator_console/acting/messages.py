"""A message that is to be acted on: locked, and held against what an act needs."""

from uuid import UUID

from sqlalchemy import Text, select, type_coerce
from sqlalchemy.orm import Session

from operator_console.acting.audit import MessageRow
from operator_console.acting.errors import ErasedError, NotDeadError, UnknownMessageError
from shared.models import OutboxMessage
from shared.vocabulary import Status

ERASED = "erased"
"""What stands for the recipient of a message whose user was erased (migration 0014)."""


def locked_message(session: Session, message_id: UUID) -> MessageRow:
    """Return how the message stands, its words as text: a newer release may have words unknown here."""
    message = session.execute(
        select(
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
        )
        .where(OutboxMessage.id == message_id)
        .with_for_update()
    ).one_or_none()
    if message is None:
        raise UnknownMessageError
    return message


def refuse_unless_dead(message: MessageRow, done: str) -> None:
    """Raise NotDeadError, or ErasedError where nobody is left whom it could be about."""
    if message.status != Status.DEAD:
        raise NotDeadError(message.status, done)
    if message.recipient == ERASED:
        raise ErasedError
