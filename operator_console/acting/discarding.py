"""Discarding: a dead message that nobody need look at any more is closed, and opened again if that was a mistake."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from operator_console.acting.audit import Act, Action, MessageRow, note_messages
from operator_console.acting.errors import NotDiscardedError
from operator_console.acting.messages import is_one_of, locked_message, refuse_if_replaced, refuse_unless_dead
from shared.models import OperatorAction, OutboxMessage
from shared.vocabulary import DeadReason


def discard(session: Session, message_id: UUID, act: Act) -> bool:
    """Close a dead message; return False if it was discarded already. Never commits.

    Raises UnknownMessageError, and what ``discard_locked`` raises.
    """
    return discard_locked(session, [locked_message(session, message_id)], act) > 0


def discard_locked(session: Session, messages: Sequence[MessageRow], act: Act) -> int:
    """Close those of the messages that are not discarded already, or none; return how many they are.

    Raises NotDeadError, ErasedError, and SupersededError: that one is closed already, and what is discarded can be
    requeued.
    """
    for message in messages:
        refuse_unless_dead(message, "discarded")
        refuse_if_replaced(message)
    open_ones = [message for message in messages if message.dead_reason != DeadReason.DISCARDED]
    if open_ones:
        note_messages(session, open_ones, Action.DISCARD, act)
        _give_reason(session, open_ones, DeadReason.DISCARDED)
    return len(open_ones)


def undo_discard(session: Session, message_id: UUID, act: Act) -> None:
    """Give a discarded message the reason back that it had before. Never commits.

    Raises UnknownMessageError, NotDeadError, ErasedError and NotDiscardedError.
    """
    message = locked_message(session, message_id)
    refuse_unless_dead(message, "opened again")
    reason = _reason_before(session, message)
    note_messages(session, [message], Action.UNDO_DISCARD, act, after={"dead_reason": reason})
    _give_reason(session, [message], DeadReason(reason))


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


def _give_reason(session: Session, messages: Sequence[MessageRow], reason: DeadReason) -> None:
    session.execute(
        update(OutboxMessage)
        .where(*is_one_of([message.id for message in messages]))
        .values(dead_reason=reason)
        .execution_options(synchronize_session=False)
    )
