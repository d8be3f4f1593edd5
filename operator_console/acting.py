"""What operators may change. Each change leaves a row that says who made it and why."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.models import OperatorAction, OutboxMessage, Token
from shared.vocabulary import WAKE_CHANNEL, Status

FRESH_ATTEMPTS = 5
"""How often the code of a token minted here may be tried."""


class UnknownMessageError(LookupError):
    """There is no message with that id."""


class NotDeadError(Exception):
    """Only a dead message can be requeued; this one is ``status``."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.value)
        self.status = status


@dataclass(frozen=True)
class Act:
    """Who changes something, and why."""

    operator: str
    reason: str


def requeue(session: Session, message_id: UUID, act: Act) -> None:
    """Make a dead message pending and due now, as if it had never been tried.

    If its code has expired, a fresh token of the same lifetime is minted for it, so that what
    arrives can be used. Never commits. Raises UnknownMessageError and NotDeadError.
    """
    message = session.get(OutboxMessage, message_id, with_for_update=True)
    if message is None:
        raise UnknownMessageError(str(message_id))
    if message.status is not Status.DEAD:
        raise NotDeadError(message.status)
    note(session, message, "requeue", act)
    if message.token_id and _has_expired(session, message.token_id):
        mint_token(session, message, message.token_id)
    revive(message)
    # In the transaction: at an operator's pace, the lock that NOTIFY takes at commit costs nobody anything.
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))


def note(session: Session, message: OutboxMessage, action: str, act: Act) -> None:
    """Add the row that says who did what, why, and how the message stood before."""
    before = {
        "dead_reason": message.dead_reason.value if message.dead_reason else None,
        "attempt": message.attempt,
        "expiries": message.expiries,
        "last_error_class": message.last_error_class,
    }
    session.add(
        OperatorAction(operator=act.operator, action=action, message_id=message.id, reason=act.reason, before=before)
    )


def mint_token(session: Session, message: OutboxMessage, old_id: UUID) -> None:
    """Give the message a new token, like its old one in everything but its id and its time."""
    old = session.execute(
        select(Token.user_id, Token.purpose, Token.channel, Token.key_id, (Token.expires_at - Token.created_at)).where(
            Token.id == old_id
        )
    ).one_or_none()
    if old is None:  # its user was erased, and the token with them
        return
    user_id, purpose, channel, key_id, lifetime = old
    fresh = Token(
        user_id=user_id,
        purpose=purpose,
        channel=channel,
        key_id=key_id,
        attempts_left=FRESH_ATTEMPTS,
        expires_at=func.now() + lifetime,
    )
    session.add(fresh)
    session.flush()
    message.token_id = fresh.id
    message.expires_at = fresh.expires_at


def revive(message: OutboxMessage) -> None:
    """Set the message back to how it was enqueued, due now."""
    message.status = Status.PENDING
    message.dead_reason = None
    message.settled_at = None
    message.lease_token = None
    message.leased_until = None
    message.attempt = 0
    message.expiries = 0
    message.due_at = func.now()


def _has_expired(session: Session, token_id: UUID) -> bool:
    """Tell whether the token has: a resend may have ended it before the message that brings its code."""
    return bool(session.scalar(select(Token.expires_at <= func.now()).where(Token.id == token_id)))
