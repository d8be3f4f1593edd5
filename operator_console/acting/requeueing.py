"""Requeueing: a dead message becomes pending and due, as if it had never been tried, with a code that works."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from operator_console.acting.audit import Act, Action, MessageRow, note_message
from operator_console.acting.codes import TokenRow, working_token
from operator_console.acting.corrections import INSUFFICIENT_PRIVILEGE, NOTHING, Correction, correct
from operator_console.acting.errors import AddressNotTheirsError, SupersededError
from operator_console.acting.messages import locked_message, refuse_unless_dead
from shared.database import describe
from shared.enqueue import LONGEST_LIFE
from shared.models import OutboxMessage
from shared.vocabulary import WAKE_CHANNEL, DeadReason, Status

AS_ENQUEUED = {
    "status": Status.PENDING,
    "dead_reason": None,
    "settled_at": None,
    "lease_token": None,
    "leased_until": None,
    "attempt": 0,
    "expiries": 0,
    "due_at": func.now(),
    "fallback_at": None,
}
"""What a message never tried has in these columns; it goes the way that the operator sends it, and no other."""


def requeue(session: Session, message_id: UUID, act: Act, correction: Correction = NOTHING) -> None:
    """Make a dead message pending and due now, corrected if need be. Never commits.

    Raises UnknownMessageError, NotDeadError, SupersededError, ErasedError, AddressNotTheirsError, and what ``correct``
    raises.
    """
    requeue_one(session, message_id, act, correction)
    wake_relays(session)


def requeue_one(session: Session, message_id: UUID, act: Act, correction: Correction = NOTHING) -> None:
    """Requeue without waking the relays: whoever requeues many wakes them once."""
    message = locked_message(session, message_id)
    refuse_unless_dead(message, "requeued")
    if message.dead_reason == DeadReason.SUPERSEDED:
        raise SupersededError
    note_message(session, message, Action.REQUEUE, act, after=correction.masked())
    if correction != NOTHING:
        correct(session, message, correction)
        message = locked_message(session, message_id)
    _revive_unless_refused(session, message)


def wake_relays(session: Session) -> None:
    """Tell the relays at the commit: at an operator's pace, the lock that NOTIFY takes then costs nobody anything."""
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))


def _revive_unless_refused(session: Session, message: MessageRow) -> None:
    """Revive it, unless its code would go where its user no longer is: the database knows, and we do not."""
    try:
        with session.begin_nested():
            revive(session, message, working_token(session, message.token_id))
    except ProgrammingError as error:
        if describe(error)["sqlstate"] == INSUFFICIENT_PRIVILEGE:
            raise AddressNotTheirsError from error
        raise


def revive(session: Session, message: MessageRow, token: TokenRow | None) -> None:
    """Set the message back to how it was enqueued, due now, about that token if there is one."""
    values: dict[str, Any] = dict(AS_ENQUEUED)
    if token:
        # The relay derives the code under the payload's key, which has to be the token's.
        payload = OutboxMessage.payload.concat({"key_id": token.key_id})
        values |= {"token_id": token.id, "expires_at": token.expires_at, "payload": payload}
    elif message.token_id is None:
        values["expires_at"] = func.now() + LONGEST_LIFE
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id == message.id)
        .values(values)
        .execution_options(synchronize_session=False)
    )
