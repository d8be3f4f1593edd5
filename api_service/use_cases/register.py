"""Register: add a pending user, a token and a message in one transaction."""

from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy.orm import Session

from api_service.rate_limits import Limiter
from api_service.use_cases.look_up import Delivery, Registration, RegistrationStatus, resend_wait
from api_service.use_cases.organizations import NewOrganization, add_organization, being_provisioned
from api_service.use_cases.tokens import NewUser, TokenPolicy, add_user_with_token, message_about
from shared.addresses import canonical_address, canonical_email
from shared.enqueue import enqueue
from shared.ids import uuid7
from shared.masks import masked
from shared.vocabulary import Channel, Locale, Status


@dataclass(frozen=True)
class RegisterCommand:
    """A registration to add. Addresses are in deliverable form; the channel has an address."""

    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    password: str = field(repr=False)
    full_name: str | None = field(repr=False)
    locale: Locale
    channel: Channel
    organization: NewOrganization | None = None


def register(
    session: Session, command: RegisterCommand, *, password_hash: str, policy: TokenPolicy, limiter: Limiter
) -> Registration:
    """Add the user, its activation token and its outbox message, in the caller's transaction.

    If the address is taken, the same statements add a token that cannot activate and a different message. Returns the
    registration as ``look_up`` would, without another query.
    """
    user = pending_user(command, password_hash)
    token = add_user_with_token(session, user, command.channel, policy)
    message = message_about(user, token, policy)
    if command.organization:
        message = add_organization(session, command.organization, user, token, message)
    enqueued = enqueue(session, message)
    wait = max(policy.resend_cooldown, resend_wait(session, enqueued.recipient, limiter))
    return Registration(
        id=user.id,
        status=RegistrationStatus.PENDING,
        channel=token.channel,
        destination=masked(enqueued.recipient),
        expires_at=token.expires_at,
        can_resend=not wait and command.organization is None,
        resend_after=enqueued.created_at + wait,
        delivery=Delivery(Status.PENDING, attempts=0, due_at=enqueued.due_at, problem=None),
        organization=being_provisioned(command.organization) if command.organization else None,
    )


def canonical_addresses(command: RegisterCommand) -> list[str]:
    """Return the addresses in the form used for comparison."""
    return [canonical_address(address) for address in (command.email, command.phone) if address]


def pending_user(command: RegisterCommand, password_hash: str) -> NewUser:
    """Return the user to add; others may be pending or active with the same address."""
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
