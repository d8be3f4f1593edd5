"""What is held of a person: shown to them, or taken away for good."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api_service.use_cases.addresses import Address, address_of
from api_service.use_cases.notices import proven_channels
from api_service.use_cases.proof import Proof, locked_prover
from api_service.use_cases.sessions import ListedSession, listed_sessions
from shared.models import Token, User
from shared.secrets import SecretKeys
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

    Messages that have not gone die; one that a relay has in hand at this moment may still arrive.
    """
    user = locked_prover(session, proof)
    addresses = [Address(channel, address_of(user, channel) or "") for channel in proven_channels(user)]
    nobodies = [address_id for address in addresses for address_id in address.ids_under(keys)]
    session.execute(select(func.signpost_erase(user.id, nobodies)))
