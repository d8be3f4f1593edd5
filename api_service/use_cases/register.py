"""Register: add a pending user, a token and a message in one transaction; and look a registration up.

A registration with the address of an active user gets a decoy: a token that looks real and cannot be used. When one
pending registration is activated, other pending users with the same address are retired. A registration's view reveals
neither fact.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Interval, Row, Select, Uuid, and_, bindparam, case, func, literal, select, true
from sqlalchemy.orm import Session

from api_service.errors import UnknownRegistrationError
from api_service.rate_limits import Limit, Limiter
from api_service.use_cases.tokens import TokenPolicy, add_user_with_token, message_about
from api_service.use_cases.users import NewUser
from shared.addresses import canonical_address, canonical_email
from shared.enqueue import enqueue
from shared.ids import uuid7
from shared.models import DELIVERY_STATES, OutboxMessage, Token, User
from shared.templates import Template
from shared.texts import masked
from shared.vocabulary import Channel, DeadReason, Locale, Status, UserStatus, Work

if TYPE_CHECKING:
    from api_service.use_cases.organizations import Organizations, OrganizationView

TEMPORARY_FAILURES = ("provider", "transient")
"""The relay's failure classes that are temporary."""
REGISTRATION_TEMPLATES = (Template("activation"), Template("account_exists"), Work.FOUND_ORGANIZATION)
"""The messages of a registration, as opposed to later messages to the account."""
CONTENT = "content"
"""The relay's failure class for rejected content, as opposed to a rejected address."""


class RegistrationStatus(StrEnum):
    """The public status of a registration."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


class DeliveryProblem(StrEnum):
    """Why a message does not arrive. It never contains the server's reply."""

    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    ADDRESS_REJECTED = "address_rejected"
    EXPIRED = "expired"
    UNDELIVERABLE = "undeliverable"


@dataclass(frozen=True)
class Delivery:
    """The state of the newest message. If that is a dead fallback, the state of the newest other message.

    ``due_at`` is null during an attempt and after the last attempt. ``state`` comes from delivery reports about the
    sent message: a ``shared.reports.report.ReportKind``.
    """

    status: Status
    attempts: int
    due_at: datetime | None
    problem: DeliveryProblem | None
    state: str | None = None


@dataclass(frozen=True)
class Registration:
    """The view of a registration for the holder of its id."""

    id: UUID
    status: RegistrationStatus
    channel: Channel
    destination: str = field(repr=False)
    expires_at: datetime
    can_resend: bool
    resend_after: datetime
    delivery: Delivery
    organization: "OrganizationView | None" = None

    @property
    def is_email_confirmation_sent(self) -> bool:
        """Whether the newest message is an e-mail and a provider has accepted it."""
        return self.channel is Channel.EMAIL and self.delivery.status is Status.SENT


@dataclass(frozen=True)
class NewOrganization:
    """An organization to found; the country is an ISO 3166-1 alpha-2 code."""

    name: str = field(repr=False)
    country: str | None


@dataclass(frozen=True)
class RegisterCommand:
    """A registration to add. Addresses are in deliverable form; an address for ``channel`` is given."""

    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    password: str = field(repr=False)
    full_name: str | None = field(repr=False)
    locale: Locale
    channel: Channel
    organization: NewOrganization | None = None
    profile: dict[str, Any] = field(repr=False, default_factory=dict)


def register(
    session: Session,
    command: RegisterCommand,
    *,
    password_hash: str,
    policy: TokenPolicy,
    limiter: Limiter,
    organizations: "Organizations | None" = None,
) -> Registration:
    """Add the user, its activation token and its outbox message, in the caller's transaction.

    If the address is taken, the same statements add a different message, and a token that cannot activate anything.
    Returns the registration as ``look_up`` would, without reading it back. The route has already counted the rate
    limits (``spend`` in ``api_service/routes/registrations.py``). ``limiter`` is only read here: it shows when another
    message may be sent to this address.
    """
    user = pending_user(command, password_hash)
    token = add_user_with_token(session, user, command.channel, policy)
    message = message_about(user, token, policy)
    organization = None
    if organizations and command.organization:
        organization, message = organizations.found(session, command.organization, user, token, message)
    enqueued = enqueue(session, message)
    wait = max(policy.resend_cooldown, resend_wait(session, enqueued.recipient, limiter))
    return Registration(
        id=user.id,
        status=RegistrationStatus.PENDING,
        channel=token.channel,
        destination=masked(enqueued.recipient),
        expires_at=token.expires_at,
        can_resend=not wait and (organization is None or organization.may_send_code),
        resend_after=enqueued.created_at + wait,
        delivery=Delivery(Status.PENDING, attempts=0, due_at=enqueued.due_at, problem=None),
        organization=organization,
    )


def canonical_addresses(command: RegisterCommand) -> list[str]:
    """Return the addresses in the form used for comparison."""
    return [canonical_address(address) for address in (command.email, command.phone) if address]


def pending_user(command: RegisterCommand, password_hash: str) -> NewUser:
    """Return the user to add. Other users, pending or active, may have the same address."""
    return NewUser(
        id=uuid4(),
        email=command.email,
        email_canonical=canonical_email(command.email) if command.email else None,
        phone=command.phone,
        password_hash=password_hash,
        full_name=command.full_name,
        profile=command.profile,
        locale=command.locale,
        organization_id=uuid7() if command.organization else None,
    )


def look_up(
    session: Session,
    registration_id: UUID,
    *,
    resend_cooldown: timedelta,
    limiter: Limiter,
    organizations: "Organizations | None" = None,
) -> Registration:
    """Return the registration; the database's clock decides what has expired. Raises UnknownRegistrationError."""
    parameters = {"registration_id": registration_id, "resend_cooldown": resend_cooldown}
    row = session.connection().execute(_REGISTRATION, parameters).one_or_none()
    if row is None:
        raise UnknownRegistrationError
    is_active = row.user_status is UserStatus.ACTIVE
    wait = timedelta(0) if is_active else resend_wait(session, row.recipient, limiter)
    resend_after = max(row.resend_after, row.now + wait) if wait else row.resend_after
    organization = organizations.founded_by(session, registration_id) if organizations else None
    may_send_code = organization is None or organization.may_send_code
    return Registration(
        id=registration_id,
        status=registration_status(is_active=is_active, is_expired=row.is_expired and may_send_code),
        channel=row.channel,
        destination=masked(row.recipient),
        expires_at=row.expires_at,
        can_resend=resend_after <= row.now and not is_active and may_send_code,
        resend_after=resend_after,
        delivery=_delivery(row),
        organization=organization,
    )


def resend_wait(session: Session, recipient: str, limiter: Limiter) -> timedelta:
    """Return how long until another message may be sent to this address."""
    subject = limiter.address(Limit.RESENDS_PER_ADDRESS, canonical_address(recipient))
    return limiter.time_until_admitted(subject, session.connection())


def is_settled(session: Session, registration_id: UUID) -> bool:
    """Return whether the delivery is decided.

    The newest message was sent, or the message and its fallback are dead, or the registration is gone.
    """
    status = session.connection().execute(_NEWEST_STATUS, {"registration_id": registration_id}).scalar_one_or_none()
    return status is not Status.PENDING


def registration_status(*, is_active: bool, is_expired: bool) -> RegistrationStatus:
    """Return the public status. It does not reveal that another activation has retired the user."""
    if is_active:
        return RegistrationStatus.ACTIVE
    return RegistrationStatus.EXPIRED if is_expired else RegistrationStatus.PENDING


def delivery_problem(status: Status, dead_reason: DeadReason | None, error_class: str | None) -> DeliveryProblem | None:
    """Return the reason why the message does not arrive, or None."""
    if status is Status.PENDING and error_class in TEMPORARY_FAILURES:
        return DeliveryProblem.TEMPORARILY_UNAVAILABLE
    return _cause_of_death(dead_reason, error_class) if dead_reason else None


def _cause_of_death(dead_reason: DeadReason, error_class: str | None) -> DeliveryProblem:
    match dead_reason:
        case DeadReason.REJECTED:
            return DeliveryProblem.UNDELIVERABLE if error_class == CONTENT else DeliveryProblem.ADDRESS_REJECTED
        case DeadReason.SUPPRESSED:
            return DeliveryProblem.ADDRESS_REJECTED
        case DeadReason.EXPIRED:
            return DeliveryProblem.EXPIRED
        case DeadReason.EXHAUSTED | DeadReason.DISCARDED | DeadReason.POISON | DeadReason.SUPERSEDED:
            return DeliveryProblem.UNDELIVERABLE


def _delivery(row: Row[Any]) -> Delivery:
    problem = delivery_problem(row.status, row.dead_reason, row.last_error_class)
    return Delivery(
        status=row.status, attempts=row.attempt, due_at=row.due_at, problem=problem, state=row.delivery_state
    )


def _registration() -> Select[Any]:
    """Return the query that finds a registration by ``registration_id``.

    The column ``resend_after`` is the creation time of the newest message plus ``resend_cooldown``.
    """
    message = _newest_message(
        OutboxMessage.id,
        _token_id().label("token_id"),
        OutboxMessage.recipient,
        _status().label("status"),
        OutboxMessage.dead_reason,
        OutboxMessage.attempt,
        _due_at().label("due_at"),
        OutboxMessage.last_error_class,
        (OutboxMessage.created_at + bindparam("resend_cooldown", type_=Interval())).label("resend_after"),
    ).subquery()
    return (
        select(
            User.status.label("user_status"),
            message,
            select(DELIVERY_STATES.c.state)
            .where(DELIVERY_STATES.c.message_id == message.c.id)
            .scalar_subquery()
            .label("delivery_state"),
            func.now().label("now"),
            Token.channel,
            Token.expires_at,
            (Token.expires_at <= func.now()).label("is_expired"),
        )
        .select_from(User)
        .join(message, true())
        .join(Token, Token.id == message.c.token_id)
        .where(User.id == bindparam("registration_id"))
    )


def _token_id() -> ColumnElement[UUID]:
    # A provisioning message has no token. Its payload names the token of the activation message that follows, if the
    # founding precedes the activation.
    return func.coalesce(OutboxMessage.token_id, OutboxMessage.payload["token_id"].astext.cast(Uuid))


def _status() -> ColumnElement[Status]:
    # A dead message still counts as pending if its fallback will be enqueued within a second.
    has_pending_fallback = and_(OutboxMessage.status == Status.DEAD, OutboxMessage.fallback_at.is_not(None))
    return case((has_pending_fallback, literal(Status.PENDING, OutboxMessage.status.type)), else_=OutboxMessage.status)


def _due_at() -> ColumnElement[datetime | None]:
    # A claim does not change ``due_at``. So this returns null while a relay holds the lease.
    is_leased = OutboxMessage.leased_until > func.now()
    return case((and_(OutboxMessage.status == Status.PENDING, is_leased.is_not(true())), OutboxMessage.due_at))


def _newest_message(*columns: Any) -> Select[Any]:
    # If the fallback is dead, show the first message, which may still be pending.
    is_dead_end = and_(OutboxMessage.status == Status.DEAD, OutboxMessage.fallback_of.is_not(None))
    return (
        select(*columns)
        .where(
            OutboxMessage.user_id == bindparam("registration_id"),
            OutboxMessage.template.in_(REGISTRATION_TEMPLATES),
            _token_id().is_not(None),
        )
        .order_by(is_dead_end, OutboxMessage.created_at.desc(), OutboxMessage.id.desc())
        .limit(1)
    )


# Built once: building takes longer than executing.
_REGISTRATION = _registration()
_NEWEST_STATUS = _newest_message(_status())
