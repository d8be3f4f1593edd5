"""Registering: a pending user, its token and the message, all of them or none."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from api_service.use_cases.organizations import NewOrganization, found_organization
from api_service.use_cases.tokens import GivenToken, NewUser, Terms, add_user_with_token, message_about
from shared.addresses import canonical_address, canonical_email
from shared.enqueue import EnqueuedMessage, enqueue
from shared.ids import uuid7
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
    organization: NewOrganization | None = None


@dataclass(frozen=True)
class Registered:
    """What was added: a user, by the registration's id, with a token and the message about it.

    For one who founds an organization that message is the one which provisions it.
    """

    id: UUID
    token: GivenToken
    message: EnqueuedMessage
    organization: NewOrganization | None


def register(session: Session, command: RegisterCommand, *, password_hash: str, terms: Terms) -> Registered:
    """Add the user, its activation token and the outbox row to the caller's transaction.

    Never commits; what it raises rolls the whole registration back. An address that is taken goes the
    same way, statement by statement: it gets a token that can never activate, and other words.
    """
    user = pending_user(command, password_hash)
    token = add_user_with_token(session, user, command.channel, terms)
    message = message_about(user, token, terms)
    if command.organization:
        message = found_organization(session, command.organization, user, token, message)
    return Registered(user.id, token, enqueue(session, message), command.organization)


def canonical_addresses(command: RegisterCommand) -> list[str]:
    """Return the addresses in the form in which they are compared."""
    return [canonical_address(address) for address in (command.email, command.phone) if address]


def pending_user(command: RegisterCommand, password_hash: str) -> NewUser:
    """Return the user to add; others may be pending, or even active, under the same address."""
    return NewUser(
        id=uuid4(),
        email=command.email,
        email_canonical=canonical_email(command.email) if command.email else None,
        phone=command.phone,
        password_hash=password_hash,
        full_name=command.full_name,
        locale=command.locale,
        organization_id=uuid7() if command.organization else None,
    )
