"""Export and erase personal data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from api_service.use_cases.reauthentication import Reauthentication, lock_reauthenticated_user
from api_service.use_cases.security_events import events_of, seen_clients_of
from api_service.use_cases.sessions import listed_sessions
from api_service.use_cases.users import Address, proven_channels, reached_at
from shared.models import OutboxMessage, SecurityEvent, SeenClient, Token, User
from shared.secrets import SecretKeys
from shared.templates import Template
from shared.vocabulary import Channel
from shared.web.problems import InvalidTokenError

if TYPE_CHECKING:
    from api_service.use_cases.organizations import Organizations


@dataclass(frozen=True)
class PersonalData:
    """Everything stored about a user, except hashes and secrets."""

    user: User
    tokens: Sequence[Token] = field(repr=False)
    sessions: list[dict[str, Any]] = field(repr=False)
    seen_clients: Sequence[SeenClient] = field(repr=False)
    security_events: Sequence[SecurityEvent] = field(repr=False)
    messages: list[dict[str, Any]] = field(repr=False)


def collect(session: Session, user_id: UUID) -> PersonalData:
    """Return all data of the user. Raises InvalidTokenError if the user was erased concurrently."""
    user = session.get(User, user_id)
    if user is None:
        raise InvalidTokenError
    return PersonalData(
        user=user,
        tokens=session.scalars(select(Token).where(Token.user_id == user_id).order_by(Token.created_at)).all(),
        sessions=listed_sessions(session, user_id),
        seen_clients=seen_clients_of(session, user_id),
        security_events=events_of(session, user_id),
        messages=session.scalar(select(func.signpost_messages_of(user_id))) or [],
    )


def erase(
    session: Session, reauthentication: Reauthentication, keys: SecretKeys, organizations: "Organizations | None"
) -> None:
    """Erase the user in the caller's transaction. Only counters remain.

    This includes registrations that were never activated, and messages sent to strangers, under each address while it
    was the user's. Pending messages die; one that a relay is sending may still arrive.

    Raises LastOwnerError if an organization would have members and no owner.
    """
    user = lock_reauthenticated_user(session, reauthentication)
    if organizations:
        organizations.require_successor(session, user)
    data = [
        {
            "channel": address.channel.value,
            "canonical": address.canonical,
            "until": until,
            "address_ids": [str(address_id) for address_id in address.ids_under(keys)],
        }
        for address, until in (*_present_addresses(user), *_former_addresses(session, user.id))
    ]
    if not session.scalar(select(func.signpost_erase(user.id, literal(data, JSONB)))):
        raise InvalidTokenError


def _present_addresses(user: User) -> Iterator[tuple[Address, str]]:
    for channel in proven_channels(user):
        yield Address(channel, reached_at(user, channel)), "infinity"


def _former_addresses(session: Session, user_id: UUID) -> Iterator[tuple[Address, str]]:
    """Yield former addresses and when they changed, from the notices of the change.

    By default notices are kept three times as long as unactivated registrations.
    """
    notices = select(OutboxMessage.channel, OutboxMessage.recipient, OutboxMessage.created_at).where(
        OutboxMessage.user_id == user_id, OutboxMessage.template == Template("address_changed")
    )
    for channel, recipient, reported_at in session.execute(notices):
        yield Address(Channel(channel), recipient), reported_at.isoformat()
