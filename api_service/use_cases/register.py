"""Registering: a pending user, its token and the message, all of them or none."""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.orm import Session

from api_service.use_cases.tokens import Terms, add_token, message_about
from shared.addresses import canonical_address, canonical_email
from shared.enqueue import enqueue
from shared.models import User
from shared.vocabulary import Channel, Locale


@dataclass(frozen=True)
class RegisterCommand:
    """Who wants to register. Addresses are in deliverable form; the channel is one of an address given."""

    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    password: str = field(repr=False)
    full_name: str | None = field(repr=False)
    locale: Locale
    channel: Channel


def register(session: Session, command: RegisterCommand, *, password_hash: str, terms: Terms) -> UUID:
    """Add the user, its activation token and the outbox row to the caller's transaction.

    Returns the registration's id. Never commits; what it raises rolls the whole registration back.
    An address that is taken goes the same way, statement by statement: it gets a token that can
    never activate, and other words.
    """
    user = add_pending_user(session, command, password_hash)
    token = add_token(session, user, command.channel, terms)
    enqueue(session, message_about(user, token, terms))
    return user.id


def canonical_addresses(command: RegisterCommand) -> list[str]:
    """Return the addresses in the form in which they are compared."""
    return [canonical_address(address) for address in (command.email, command.phone) if address]


def add_pending_user(session: Session, command: RegisterCommand, password_hash: str) -> User:
    """Add the user; others may be pending, or even active, under the same address."""
    user = User(
        email=command.email,
        email_canonical=canonical_email(command.email) if command.email else None,
        phone=command.phone,
        password_hash=password_hash,
        full_name=command.full_name,
        locale=command.locale,
    )
    session.add(user)
    session.flush()
    return user
