"""A user's address on a channel, and who else has it."""

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, and_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.addresses import canonical_address
from shared.models import User
from shared.secrets import SecretKeys, address_id
from shared.vocabulary import Channel, UserStatus


class Addressed(Protocol):
    """Whoever can be written to."""

    @property
    def email(self) -> str | None:
        """Where e-mails go."""

    @property
    def phone(self) -> str | None:
        """Where SMS go."""


def address_of(user: Addressed, channel: Channel) -> str | None:
    """Return where a message reaches the user on that channel, if anywhere."""
    match channel:
        case Channel.EMAIL:
            return user.email
        case Channel.SMS:
            return user.phone


def reached_at(user: Addressed, channel: Channel) -> str:
    """Return where a message reaches the user on a channel for which they gave an address. Raises ValueError."""
    address = address_of(user, channel)
    if address is None:
        raise ValueError(f"the user has no address for {channel}")
    return address


def address_column(channel: Channel) -> InstrumentedAttribute[str | None]:
    """Return the column that has where a message reaches a user on that channel."""
    match channel:
        case Channel.EMAIL:
            return User.email
        case Channel.SMS:
            return User.phone


def has_same_address(user: User, channel: Channel) -> ColumnElement[bool]:
    """Return the condition that a row of users has this user's address on that channel."""
    match channel:
        case Channel.EMAIL:
            return has_address(channel, user.email_canonical)
        case Channel.SMS:
            return has_address(channel, user.phone)


def has_address(channel: Channel, canonical: str | BindParameter[str] | None) -> ColumnElement[bool]:
    """Return the condition that a row of users has that address, in canonical form or still to be given."""
    match channel:
        case Channel.EMAIL:
            return User.email_canonical == canonical
        case Channel.SMS:
            return User.phone == canonical


def is_proven_on(channel: Channel, canonical: str | BindParameter[str]) -> ColumnElement[bool]:
    """Return the condition that a row of users has proven that address, which one at most has."""
    is_theirs, is_proven = has_address(channel, canonical), proven_at(channel).is_not(None)
    return and_(is_theirs, is_proven, User.status == UserStatus.ACTIVE)


def proven_at(channel: Channel) -> InstrumentedAttribute[object]:
    """Return the column that says when the channel's address was proven to be the user's."""
    match channel:
        case Channel.EMAIL:
            return User.email_verified_at
        case Channel.SMS:
            return User.phone_verified_at


def is_taken(session: Session, user: User, channel: Channel) -> bool:
    """Tell whether someone has proven to hold the user's address on that channel."""
    holders = select(User.id).where(has_same_address(user, channel), proven_at(channel).is_not(None))
    return bool(session.scalar(select(holders.exists())))


@dataclass(frozen=True)
class Address:
    """An address as someone typed it, in deliverable form, and the channel that it is for."""

    channel: Channel
    deliverable: str = field(repr=False)

    @property
    def canonical(self) -> str:
        """The form in which addresses are compared."""
        return canonical_address(self.deliverable)

    def id_under(self, keys: SecretKeys) -> UUID:
        """Return what new tokens name the address by."""
        return address_id(self.canonical, keys[keys.newest_id])

    def ids_under(self, keys: SecretKeys) -> list[UUID]:
        """Return all that tokens may name the address by: a key is rotated while codes are on their way."""
        return [address_id(self.canonical, key) for key in keys.by_id.values()]
