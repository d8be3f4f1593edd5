"""New users, addresses of users, locks on users, and notices to them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, and_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.addresses import canonical_address
from shared.enqueue import NewMessage, enqueue
from shared.models import User
from shared.secrets import SecretKeys, address_id
from shared.templates import Template
from shared.texts import masked
from shared.vocabulary import Channel, Locale, UserStatus
from shared.web.problems import ProblemError


@dataclass(frozen=True)
class NewUser:
    """The columns of a user to add. ``pending_user`` in ``register.py`` fills them."""

    id: UUID
    email: str | None = field(repr=False)
    email_canonical: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    password_hash: str = field(repr=False)
    full_name: str | None = field(repr=False)
    profile: dict[str, Any] = field(repr=False)
    locale: Locale
    organization_id: UUID | None


class Addressed(Protocol):
    """Has addresses."""

    @property
    def email(self) -> str | None:
        """The e-mail address."""

    @property
    def phone(self) -> str | None:
        """The phone number."""


def address_of(user: Addressed, channel: Channel) -> str | None:
    """Return the user's address on the channel, if any."""
    match channel:
        case Channel.EMAIL:
            return user.email
        case Channel.SMS:
            return user.phone


def reached_at(user: Addressed, channel: Channel) -> str:
    """Return the user's address on the channel. Raises ValueError without one."""
    address = address_of(user, channel)
    if address is None:
        raise ValueError(f"the user has no address for {channel}")
    return address


def address_column(channel: Channel) -> InstrumentedAttribute[str | None]:
    """Return the column of the channel's address."""
    match channel:
        case Channel.EMAIL:
            return User.email
        case Channel.SMS:
            return User.phone


def has_same_address(user: User, channel: Channel) -> ColumnElement[bool]:
    """Return the condition that a user has this user's address on that channel."""
    return has_address(channel, canonical_address(reached_at(user, channel)))


def has_address(channel: Channel, canonical: str | BindParameter[str]) -> ColumnElement[bool]:
    """Return the condition that a user has this canonical address."""
    match channel:
        case Channel.EMAIL:
            return User.email_canonical == canonical
        case Channel.SMS:
            return User.phone == canonical


def is_proven_on(channel: Channel, canonical: str | BindParameter[str]) -> ColumnElement[bool]:
    """Return the condition that an active user has proven the address, which at most one has."""
    is_theirs, is_proven = has_address(channel, canonical), proven_at(channel).is_not(None)
    return and_(is_theirs, is_proven, User.status == UserStatus.ACTIVE)


def proven_at(channel: Channel) -> InstrumentedAttribute[object]:
    """Return the column with the time when the channel's address was proven."""
    match channel:
        case Channel.EMAIL:
            return User.email_verified_at
        case Channel.SMS:
            return User.phone_verified_at


def is_taken(session: Session, user: User, channel: Channel) -> bool:
    """Return whether another user has proven the user's address on that channel."""
    holders = select(User.id).where(has_same_address(user, channel), proven_at(channel).is_not(None))
    return bool(session.scalar(select(holders.exists())))


@dataclass(frozen=True)
class Address:
    """An address in deliverable form, and its channel."""

    channel: Channel
    deliverable: str = field(repr=False)

    @property
    def destination(self) -> str:
        """The masked form, for responses."""
        return masked(self.deliverable)

    @property
    def canonical(self) -> str:
        """The form used for comparison."""
        return canonical_address(self.deliverable)

    def id_under(self, keys: SecretKeys) -> UUID:
        """Return the id of the address in new tokens."""
        return address_id(self.canonical, keys[keys.newest_id])

    def ids_under(self, keys: SecretKeys) -> list[UUID]:
        """Return all ids of the address in tokens, because keys may have been rotated since."""
        return [address_id(self.canonical, key) for key in keys.by_id.values()]


def lock_user(session: Session, which: ColumnElement[bool], *, otherwise: ProblemError) -> User:
    """Lock and return the selected user. Raises ``otherwise`` if no user matches after other locks end.

    Call it before locking the user's tokens: all transactions use that order. Rows that refer to the user can still be
    added.
    """
    locked = select(User).where(which).with_for_update(key_share=True).execution_options(populate_existing=True)
    user = session.scalar(locked)
    if user is None:
        raise otherwise
    return user


def is_active(user_id: UUID) -> ColumnElement[bool]:
    """Return the condition that this user is active."""
    return and_(User.id == user_id, User.status == UserStatus.ACTIVE)


def notice(template: Template, user: User, channel: Channel) -> NewMessage:
    """Return a message without a code that informs the user of a change."""
    return NewMessage(
        template=template,
        channel=channel,
        recipient=reached_at(user, channel),
        locale=user.locale,
        payload={"name": user.full_name},
        user_id=user.id,
    )


def notify_all_addresses(session: Session, template: Template, user: User) -> None:
    """Enqueue the notice to each proven address, because one of them may be compromised."""
    for channel in proven_channels(user):
        enqueue(session, notice(template, user, channel))


def proven_channels(user: User) -> Iterator[Channel]:
    """Return the channels with a proven address."""
    return (channel for channel in Channel if getattr(user, proven_at(channel).key) is not None)
