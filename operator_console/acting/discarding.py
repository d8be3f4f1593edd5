"""Discarding: a dead message that nobody need look at any more is closed, and opened again if that was a mistake."""

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from operator_console.acting.audit import Act, Action, MessageRow, note_message
from operator_console.acting.errors import NotDiscardedError, SupersededError
from operator_console.acting.messages import locked_message, refuse_unless_dead
from shared.models import OperatorAction, OutboxMessage
from shared.vocabulary import DeadReason


def discard(session: Session, message_id: UUID, act: Act) -> bool:
    """Close a dead message; return False if it was discarded already. Never commits.

    Raises UnknownMessageError, NotDeadError, ErasedError, and SupersededError: that one is closed already, and what is
    discarded can be requeued.
    """
    message = locked_message(session, message_id)
    refuse_unless_dead(message, "discarded")
    if message.dead_reason == DeadReason.SUPERSEDED:
        raise SupersededError
    if message.dead_reason == DeadReason.DISCARDED:
        return False
    note_message(session, message, Action.DISCARD, act)
    _give_reason(session, message, DeadReason.DISCARDED)
    return True


def undo_discard(session: Session, message_id: UUID, act: Act) -> None:
    """Give a discarded message the reason back that it had before. Never commits.

    Raises UnknownMessageError, NotDeadError, ErasedError and NotDiscardedError.
    """
    message = locked_message(session, message_id)
    refuse_unless_dead(message, "opened again")
    reason = _reason_before(session, message)
    note_message(session, message, Action.UNDO_DISCARD, act, after={"dead_reason": reason})
    _give_reason(session, message, DeadReason(reason))


def _reason_before(session: Session, message: MessageRow) -> str:
    """Return the reason that stands in the audit row of the discard."""
    last = session.execute(
        select(OperatorAction.action, OperatorAction.before)
        .where(OperatorAction.message_id == message.id, OperatorAction.action != Action.REVEAL)
        .order_by(OperatorAction.id.desc())
        .limit(1)
    ).one_or_none()
    if message.dead_reason != DeadReason.DISCARDED or last is None or last.action != Action.DISCARD:
        raise NotDiscardedError
    return str(last.before["dead_reason"])


def _give_reason(session: Session, message: MessageRow, reason: DeadReason) -> None:
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id == message.id)
        .values(dead_reason=reason)
        .execution_options(synchronize_session=False)
    )
