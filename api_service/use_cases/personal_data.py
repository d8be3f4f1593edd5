"""What is held of a person: shown to them, or taken away for good."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from api_service.use_cases.addresses import Address, reached_at
from api_service.use_cases.notices import proven_channels
from api_service.use_cases.proof import Proof, locked_prover
from api_service.use_cases.sessions import ListedSession, listed_sessions
from shared.models import OutboxMessage, Token, User
from shared.secrets import SecretKeys
from shared.vocabulary import Channel, Template
from shared.web.refusals import InvalidTokenError


@dataclass(frozen=True)
class Held:
    """All that is held of one person, but for the password's hash and the sessions' secrets."""

    user: User
    tokens: Sequence[Token] = field(repr=False)
    sessions: Sequence[ListedSession] = field(repr=False)
    messages: list[dict[str, Any]] = field(repr=False)


def gather(session: Session, user_id: UUID) -> Held:
    """Return all that is held of the user. Raises InvalidTokenError for one who was erased just now."""
    user = session.get(User, user_id)
    if user is None:
        raise InvalidTokenError
    return Held(
        user=user,
        tokens=session.scalars(select(Token).where(Token.user_id == user_id).order_by(Token.created_at)).all(),
        sessions=listed_sessions(session, user_id),
        messages=session.scalar(select(func.signpost_messages_of(user_id))) or [],
    )


def erase(session: Session, proof: Proof, keys: SecretKeys) -> None:
    """Take the user away for good, in the caller's transaction: only counts remain.

    So do registrations that never activated, and what was told to a stranger, under any address while it was the
    user's. Messages that have not gone die; one that a relay has in hand at this moment may still arrive.
    """
    user = locked_prover(session, proof)
    held = [
        {
            "channel": address.channel.value,
            "canonical": address.canonical,
            "until": until,
            "address_ids": [str(address_id) for address_id in address.ids_under(keys)],
        }
        for address, until in (*_present_addresses(user), *_former_addresses(session, user.id))
    ]
    if not session.scalar(select(func.signpost_erase(user.id, literal(held, JSONB)))):
        raise InvalidTokenError


def _present_addresses(user: User) -> Iterator[tuple[Address, str]]:
    for channel in proven_channels(user):
        yield Address(channel, reached_at(user, channel)), "infinity"


def _former_addresses(session: Session, user_id: UUID) -> Iterator[tuple[Address, str]]:
    """Yield those that were told of their change, and when.

    By default such a notice is kept three times as long as registrations that were left there.
    """
    notices = select(OutboxMessage.channel, OutboxMessage.recipient, OutboxMessage.created_at).where(
        OutboxMessage.user_id == user_id, OutboxMessage.template == Template.ADDRESS_CHANGED
    )
    for channel, recipient, told_at in session.execute(notices):
        yield Address(Channel(channel), recipient), told_at.isoformat()
