"""What operators may change. Each change leaves a row that says who made it and why."""

from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, Text, and_, func, insert, literal, or_, select, type_coerce, update
from sqlalchemy.orm import Session, aliased

from shared.enqueue import LONGEST_LIFE
from shared.models import OperatorAction, OutboxMessage, Token
from shared.vocabulary import WAKE_CHANNEL, DeadReason, Status

MessageRow: TypeAlias = Row[*tuple[Any, ...]]
TokenRow: TypeAlias = Row[*tuple[Any, ...]]

FRESH_ATTEMPTS = 5
"""How often the code of a token minted here may be tried."""

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


class UnknownMessageError(LookupError):
    """There is no message with that id."""


class NotDeadError(Exception):
    """Only a dead message can be requeued; this one is ``status``."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class SupersededError(Exception):
    """A newer message replaced this one: that is the one to requeue, should it be dead."""


@dataclass(frozen=True)
class Act:
    """Who changes something, and why."""

    operator: str
    reason: str


def requeue(session: Session, message_id: UUID, act: Act) -> None:
    """Make a dead message pending and due now, as if it had never been tried.

    It brings the newest code of its user and channel, and a fresh one if that has expired: one minted
    beside a code that still works would end that one, since only the newest counts. Never commits.
    Raises UnknownMessageError, NotDeadError and SupersededError.
    """
    message = locked_message(session, message_id)
    refuse_unless_requeueable(message)
    note(session, message, "requeue", act)
    revive(session, message, working_token(session, message))
    # In the transaction: at an operator's pace, the lock that NOTIFY takes at commit costs nobody anything.
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))


def locked_message(session: Session, message_id: UUID) -> MessageRow:
    """Return how the message stands, its words as text: a newer release may have words unknown here."""
    message = session.execute(
        select(
            OutboxMessage.id,
            OutboxMessage.token_id,
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
        raise UnknownMessageError(str(message_id))
    return message


def refuse_unless_requeueable(message: MessageRow) -> None:
    """Raise NotDeadError or SupersededError, whichever it is."""
    if message.status != Status.DEAD:
        raise NotDeadError(message.status)
    if message.dead_reason == DeadReason.SUPERSEDED:
        raise SupersededError


def note(session: Session, message: MessageRow, action: str, act: Act) -> None:
    """Add the row that says who did what, why, and how the message stood before."""
    before = {
        "dead_reason": message.dead_reason,
        "attempt": message.attempt,
        "expiries": message.expiries,
        "last_error_class": message.last_error_class,
    }
    session.add(
        OperatorAction(operator=act.operator, action=action, message_id=message.id, reason=act.reason, before=before)
    )


def working_token(session: Session, message: MessageRow) -> TokenRow | None:
    """Return the token whose code the message is to bring; None if it brings none, or its user was erased."""
    newest = newest_token(session, message.token_id)
    if newest is None or newest.is_living:
        return newest
    return mint_token(session, newest.id)


def newest_token(session: Session, token_id: UUID | None) -> TokenRow | None:
    """Return the newest token that this one's user was given for the same: channel, address and purpose."""
    own = aliased(Token)
    is_for_the_same = or_(
        and_(own.address_id.is_(None), Token.address_id.is_(None)),
        and_(own.address_id == Token.address_id, own.purpose == Token.purpose),
    )
    return session.execute(
        select(Token.id, Token.key_id, Token.expires_at, (Token.expires_at > func.now()).label("is_living"))
        .join(own, and_(own.user_id == Token.user_id, own.channel == Token.channel, is_for_the_same))
        .where(own.id == token_id)
        .order_by(Token.created_at.desc(), Token.id)
        .limit(1)
    ).one_or_none()


def mint_token(session: Session, old_id: UUID) -> TokenRow | None:
    """Add a token like the old one in everything but its id, its time and its attempts; None if that is gone."""
    expires_at = func.now() + (Token.expires_at - Token.created_at)
    kept = (Token.user_id, Token.purpose, Token.channel, Token.key_id, Token.address_id, Token.new_address)
    alike = select(*kept, literal(FRESH_ATTEMPTS), expires_at).where(Token.id == old_id)
    columns = [*(column.key for column in kept), "attempts_left", "expires_at"]
    return session.execute(
        insert(Token).from_select(columns, alike).returning(Token.id, Token.key_id, Token.expires_at)
    ).one_or_none()


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
