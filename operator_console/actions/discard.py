"""Discard: close dead messages that need no further attention, and undo that."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from operator_console.actions.audit import Action, AuditContext, MessageRow, record_messages
from operator_console.actions.locking import has_id_in, lock_message, require_dead, require_not_superseded
from operator_console.errors import NotDiscardedError
from operator_console.filters import is_about
from operator_console.views import state_before
from shared.models import OperatorAction, OutboxMessage
from shared.vocabulary import DeadReason


def discard(session: Session, message_id: UUID, audit: AuditContext) -> bool:
    """Discard a dead message; return False if it was discarded before.

    Raises UnknownMessageError and the errors of ``discard_locked``. The caller commits.
    """
    return discard_locked(session, [lock_message(session, message_id)], audit) > 0


def discard_locked(session: Session, messages: Sequence[MessageRow], audit: AuditContext) -> int:
    """Discard all of the messages or raise; return how many were not discarded before.

    Raises NotDeadError, ErasedError and SupersededError. A superseded message must not become a discarded one, which
    could be requeued.
    """
    for message in messages:
        require_dead(message, "be discarded")
        require_not_superseded(message)
    open_messages = [message for message in messages if message.dead_reason != DeadReason.DISCARDED]
    if open_messages:
        record_messages(session, open_messages, Action.DISCARD, audit, after={"dead_reason": DeadReason.DISCARDED})
        _set_reason(session, open_messages, DeadReason.DISCARDED)
    return len(open_messages)


def undo_discard(session: Session, message_id: UUID, audit: AuditContext) -> None:
    """Restore the reason that a discarded message had before.

    Raises UnknownMessageError, NotDeadError, ErasedError and NotDiscardedError. The caller commits.
    """
    message = lock_message(session, message_id)
    require_dead(message, "have its discard undone")
    reason = _previous_reason(session, message)
    record_messages(session, [message], Action.UNDO_DISCARD, audit, after={"dead_reason": reason})
    _set_reason(session, [message], DeadReason(reason))


def _previous_reason(session: Session, message: MessageRow) -> str:
    """Return the reason from the audit row of the discard, which must be the last action on the message."""
    query = select(OperatorAction).where(is_about(message.id), OperatorAction.action != Action.REVEAL)
    last = session.scalars(query.order_by(OperatorAction.id.desc()).limit(1)).one_or_none()
    if message.dead_reason != DeadReason.DISCARDED or last is None or last.action != Action.DISCARD:
        raise NotDiscardedError
    return str(state_before(last, message.id)["dead_reason"])


def _set_reason(session: Session, messages: Sequence[MessageRow], reason: DeadReason) -> None:
    session.execute(
        update(OutboxMessage)
        .where(*has_id_in([message.id for message in messages]))
        .values(dead_reason=reason)
        .execution_options(synchronize_session=False)
    )
