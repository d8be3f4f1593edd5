"""Requeueing: dead messages become pending and due, as if they had never been tried, with codes that work.

However many they are, they are one set, and the statements are as many as for one.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, FromClause, Uuid, case, column, func, literal, select, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from operator_console.acting.audit import Act, Action, MessageRow, note_messages
from operator_console.acting.codes import working_tokens
from operator_console.acting.corrections import NOTHING, Correction, correct
from operator_console.acting.errors import AddressNotTheirsError
from operator_console.acting.messages import (
    is_one_of,
    locked_message,
    locked_messages,
    refuse_if_replaced,
    refuse_unless_dead,
)
from shared.database import INSUFFICIENT_PRIVILEGE, describe
from shared.enqueue import LONGEST_LIFE
from shared.models import OutboxMessage, Token
from shared.vocabulary import WAKE_CHANNEL, Status

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

    Raises UnknownMessageError, and what ``requeue_locked`` raises.
    """
    requeue_locked(session, [locked_message(session, message_id)], act, correction)
    wake_relays(session)


def requeue_locked(session: Session, messages: Sequence[MessageRow], act: Act, correction: Correction = NOTHING) -> int:
    """Requeue these, all or none, without waking the relays; return how many they are.

    Raises NotDeadError, SupersededError, ErasedError, AddressNotTheirsError, and what ``correct`` raises.
    """
    for message in messages:
        refuse_unless_dead(message, "requeued")
        refuse_if_replaced(message)
    note_messages(session, messages, Action.REQUEUE, act, after=correction.masked())
    _revive_unless_refused(session, _corrected(session, messages, correction))
    return len(messages)


def wake_relays(session: Session) -> None:
    """Tell the relays at the commit: at an operator's pace, the lock that NOTIFY takes then costs nobody anything."""
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))


def _corrected(session: Session, messages: Sequence[MessageRow], correction: Correction) -> Sequence[MessageRow]:
    if correction == NOTHING:
        return messages
    for message in messages:
        correct(session, message, correction)
    return locked_messages(session, [message.id for message in messages])


def _revive_unless_refused(session: Session, messages: Sequence[MessageRow]) -> None:
    """Revive them, unless a code would go where its user no longer is: the database knows, and we do not."""
    tokens = {message.id: message.token_id for message in messages if message.token_id}
    try:
        with session.begin_nested():
            working = working_tokens(session, set(tokens.values()))
            _revive(session, {message.id: working.get(tokens.get(message.id)) for message in messages})
    except ProgrammingError as error:
        if describe(error)["sqlstate"] == INSUFFICIENT_PRIVILEGE:
            raise AddressNotTheirsError from error
        raise


def _revive(session: Session, tokens: Mapping[UUID, UUID | None]) -> None:
    """Set messages back to how they were enqueued, due now, each about its token if it has one that works.

    One whose token is gone keeps what it has: the relay finds that it has expired.
    """
    given = _with_their_tokens(tokens)
    has_token = given.c.token_id.is_not(None)
    # The relay derives the code under the payload's key, which has to be the token's.
    payload = OutboxMessage.payload.concat(func.jsonb_build_object("key_id", given.c.key_id))
    values: dict[str, Any] = AS_ENQUEUED | {
        "token_id": func.coalesce(given.c.token_id, OutboxMessage.token_id),
        "expires_at": case(
            (has_token, given.c.expires_at),
            (OutboxMessage.token_id.is_(None), func.now() + LONGEST_LIFE),
            else_=OutboxMessage.expires_at,
        ),
        "payload": case((has_token, payload), else_=OutboxMessage.payload),
    }
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id == given.c.id, *is_one_of(list(tokens)))
        .values(values)
        .execution_options(synchronize_session=False)
    )


def _with_their_tokens(tokens: Mapping[UUID, UUID | None]) -> FromClause:
    """Return the ids of messages, each beside what its token has, as rows to join with."""
    columns = [literal(list(ids), ARRAY(Uuid)) for ids in (tokens.keys(), tokens.values())]
    pairs = func.unnest(*columns).table_valued(column("id", Uuid), column("token_id", Uuid)).render_derived(name="pair")
    joined = pairs.outerjoin(Token, Token.id == pairs.c.token_id)
    return select(pairs.c.id, Token.id.label("token_id"), Token.key_id, Token.expires_at).select_from(joined).subquery()
