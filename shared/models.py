"""The tables as SQLAlchemy models: columns and foreign keys. A table that only SQL statements use has no model.

The migrations create the tables, and ``migrations/sql/tables.sql`` has their constraints and indexes.

All times come from PostgreSQL's clock: processes compare times that others wrote, and their clocks differ.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Identity,
    LargeBinary,
    SmallInteger,
    Text,
    TypeDecorator,
    Uuid,
    column,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.ids import uuid7
from shared.templates import TEMPLATES_AND_WORK, AnyTemplate
from shared.vocabulary import (
    CHANNELS,
    AnyChannel,
    Channel,
    DeadReason,
    Locale,
    MemberRole,
    OrganizationStatus,
    Priority,
    Purpose,
    Status,
    UserStatus,
)

NOW = text("now()")


class EnumText(TypeDecorator[str]):
    """One of several known values, stored as text. So an enum can grow while the previous release still runs."""

    impl = Text
    cache_ok = True

    def __init__(self, members: Iterable[str]) -> None:
        super().__init__()
        self.members = tuple(members)
        self._by_text = {str(member): member for member in self.members}

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the value as text. Raises ValueError for an unknown value."""
        return None if value is None else str(self._member(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the member. Raises ValueError for an unknown value."""
        return None if value is None else self._member(value)

    def _member(self, value: str) -> str:
        try:
            return self._by_text[value]
        except KeyError:
            raise ValueError("not a value of the enum") from None


class Base(DeclarativeBase):
    """Map datetimes to timestamptz, strings to text and dicts to jsonb."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        datetime: DateTime(timezone=True),
        str: Text(),
        UUID: Uuid(),
        dict[str, Any]: JSONB(),
        Channel: EnumText(Channel),
        Status: EnumText(Status),
        DeadReason: EnumText(DeadReason),
        Priority: EnumText(Priority),
        Purpose: EnumText(Purpose),
        UserStatus: EnumText(UserStatus),
        MemberRole: EnumText(MemberRole),
        OrganizationStatus: EnumText(OrganizationStatus),
        Locale: EnumText(Locale),
    }


class User(Base):
    """A registered user. The id is also the registration's, so it is random instead of ordered by time.

    An address belongs to the active user who verified it. Pending users may share it, so that a registration with a
    taken address looks like any other.
    """

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    status: Mapped[UserStatus] = mapped_column(default=UserStatus.PENDING, server_default="pending")
    email: Mapped[str | None]
    email_canonical: Mapped[str | None]
    email_verified_at: Mapped[datetime | None]
    phone: Mapped[str | None]
    phone_verified_at: Mapped[datetime | None]
    password_hash: Mapped[str]
    full_name: Mapped[str | None]
    profile: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    locale: Mapped[Locale]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    activated_at: Mapped[datetime | None]
    first_sign_in_at: Mapped[datetime | None]
    organization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("organizations.id", deferrable=True, initially="DEFERRED")
    )

    @property
    def is_email_verified(self) -> bool:
        """Whether the user has proven the e-mail address."""
        return self.email_verified_at is not None

    @property
    def is_phone_verified(self) -> bool:
        """Whether the user has proven the phone number."""
        return self.phone_verified_at is not None


class Token(Base):
    """A right to do one thing once. Code and link are derived from its id and never stored.

    Tokens for password resets, address changes and invitations have a keyed hash of the address in ``address_id``. So
    they can be found and counted even if the address has no account, in which case ``user_id`` is null. An invitation
    never has a user.
    """

    __tablename__ = "tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[Purpose]
    channel: Mapped[Channel]
    key_id: Mapped[str]
    attempts_left: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    address_id: Mapped[UUID | None]
    new_address: Mapped[str | None]


class SessionRow(Base):
    """A session of a user, which is also the family of its refresh tokens. The row is deleted when it ends.

    The SHA-256 of both halves of the refresh token is stored. The first half is constant for the family, and each
    refresh replaces the second. So a used token is recognized without storing past tokens.

    A limited session belongs to a registration that is not activated, and never becomes a full one.

    ``organization_id``: the organization that the last access token named.
    """

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    family_hash: Mapped[bytes]
    refresh_hash: Mapped[bytes]
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_used_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    is_limited: Mapped[bool] = mapped_column(default=False, server_default="false")
    organization_id: Mapped[UUID | None]


class SeenClient(Base):
    """A device or a network that a user has signed in from, as a keyed hash."""

    __tablename__ = "seen_clients"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[bytes] = mapped_column(primary_key=True)
    kind: Mapped[str]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WrongPasswords(Base):
    """The wrong passwords in a row of a user, or at an address without an account, by the hash of the address."""

    __tablename__ = "wrong_passwords"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    in_a_row: Mapped[int] = mapped_column(server_default="1")
    last_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SecurityEvent(Base):
    """The event of a security notice. ``kind`` is the notice's template; ``user_id`` may belong to no user."""

    __tablename__ = "security_events"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID]
    kind: Mapped[str]
    device: Mapped[str | None]
    network: Mapped[str | None]
    key_id: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(server_default=NOW)
    notified_at: Mapped[datetime | None]


class OutboxMessage(Base):
    """A message to deliver. Partitioned by range of its id."""

    __tablename__ = "outbox_messages"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    template: Mapped[AnyTemplate] = mapped_column(EnumText(TEMPLATES_AND_WORK))
    channel: Mapped[AnyChannel] = mapped_column(EnumText(CHANNELS))
    recipient: Mapped[str]
    locale: Mapped[Locale]
    payload: Mapped[dict[str, Any]]
    user_id: Mapped[UUID | None]
    token_id: Mapped[UUID | None]
    status: Mapped[Status] = mapped_column(default=Status.PENDING, server_default="pending")
    dead_reason: Mapped[DeadReason | None]
    attempt: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    lost_leases: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=NOW)
    leased_until: Mapped[datetime | None]
    lease_token: Mapped[UUID | None]
    expires_at: Mapped[datetime | None]
    provider: Mapped[str | None]
    provider_message_id: Mapped[str | None]
    last_error_class: Mapped[str | None]
    last_error: Mapped[str | None]
    traceparent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    settled_at: Mapped[datetime | None]
    priority: Mapped[Priority] = mapped_column(server_default="high")
    fallback_channel: Mapped[Channel | None]
    fallback_lifetime: Mapped[timedelta | None]
    fallback_at: Mapped[datetime | None]
    fallback_of: Mapped[UUID | None]


class DeliveryAttempt(Base):
    """A failed attempt. A message that was sent at the first attempt has no row."""

    __tablename__ = "delivery_attempts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[UUID]
    attempt: Mapped[int] = mapped_column(SmallInteger)
    outcome: Mapped[str]
    provider: Mapped[str | None]
    error_class: Mapped[str | None]
    error: Mapped[str | None]
    due_at: Mapped[datetime | None]
    ended_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ReportRow(Base):
    """A receiver's row about a sent message. A relay writes the columns from ``applied_at`` on."""

    __tablename__ = "delivery_reports"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    deduplication_key: Mapped[bytes]
    message_id: Mapped[UUID | None]
    recipient_tag: Mapped[str | None]
    provider: Mapped[str | None]
    provider_message_id: Mapped[str | None]
    kind: Mapped[str]
    cause: Mapped[str | None]
    is_permanent: Mapped[bool] = mapped_column(server_default="false")
    status_code: Mapped[str | None]
    diagnostic: Mapped[str | None]
    source: Mapped[str]
    occurred_at: Mapped[datetime | None]
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    applied_at: Mapped[datetime | None]
    ignored_because: Mapped[str | None]
    fallback_due_at: Mapped[datetime | None]


class Suppression(Base):
    """An address that gets no messages until then, as a keyed hash. ``key_id`` names the key in FEEDBACK_KEYS."""

    __tablename__ = "suppressions"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str]
    strikes: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")
    since: Mapped[datetime] = mapped_column(server_default=NOW)
    until: Mapped[datetime]


DELIVERY_STATES = table("delivery_states", column("message_id", Uuid), column("state", Text))
"""A view: the state of each message that has a report that counts."""


class Organization(Base):
    """An organization and the last health check of its database.

    ``health`` is null until the first check, then a HealthStatus. A decoy, created with a taken address, has no
    database. ``repair_id`` is the message of the latest repair. ``drop_until``: a relay is dropping the database until
    then. ``kept_because``: why it is not dropped. ``drop_due_at``: when to try that again. ``is_removed``: an
    operator removed it at ``failed_at``; with ``drop_forced``, open sessions are ended.
    """

    __tablename__ = "organizations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    country: Mapped[str | None]
    status: Mapped[OrganizationStatus] = mapped_column(server_default="provisioning")
    founder_id: Mapped[UUID]
    database_name: Mapped[str]
    is_decoy: Mapped[bool] = mapped_column(default=False, server_default="false")
    revision: Mapped[str | None]
    health: Mapped[str | None]
    health_error: Mapped[str | None]
    checked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ready_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    drop_until: Mapped[datetime | None]
    dropped_at: Mapped[datetime | None]
    repair_id: Mapped[UUID | None]
    tables: Mapped[int | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    healthy_at: Mapped[datetime | None]
    check_due_at: Mapped[datetime] = mapped_column(server_default=NOW)
    drop_due_at: Mapped[datetime | None]
    kept_because: Mapped[str | None]
    password_number: Mapped[int] = mapped_column(server_default="0")
    is_removed: Mapped[bool] = mapped_column(server_default="false")
    drop_forced: Mapped[bool] = mapped_column(server_default="false")


class OrganizationMember(Base):
    """A user's membership in an organization. The founder becomes a member at the activation."""

    __tablename__ = "organization_members"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[MemberRole]
    joined_at: Mapped[datetime] = mapped_column(server_default=NOW)


class OrganizationInvitation(Base):
    """An open invitation. Its token has the same id, and the invited address as ``new_address``."""

    __tablename__ = "organization_invitations"

    id: Mapped[UUID] = mapped_column(ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    role: Mapped[MemberRole]
    invited_by: Mapped[UUID]


class OrganizationStep(Base):
    """One step of provisioning. A started step may be complete even without ``done_at``."""

    __tablename__ = "organization_steps"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    done_at: Mapped[datetime | None]
    error_class: Mapped[str | None]
    error: Mapped[str | None]


class OrganizationLoss(Base):
    """A lost database: its state at the last successful check, and when it was restored."""

    __tablename__ = "organization_losses"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    found_at: Mapped[datetime] = mapped_column(server_default=NOW)
    healthy_at: Mapped[datetime | None]
    revision: Mapped[str | None]
    tables: Mapped[int | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    restored_at: Mapped[datetime | None]


class ProviderRow(Base):
    """Shared state of one provider. Its circuit breaker is closed while ``consecutive_opens`` is 0."""

    __tablename__ = "providers"

    name: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str | None]
    rate: Mapped[str | None]
    tokens: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    refilled_at: Mapped[datetime | None]
    consecutive_opens: Mapped[int] = mapped_column(default=0, server_default="0")
    open_until: Mapped[datetime | None]
    probe_by: Mapped[UUID | None]
    probe_until: Mapped[datetime | None]
    since: Mapped[datetime] = mapped_column(server_default=NOW)
    last_failure_class: Mapped[str | None]
    last_error: Mapped[str | None]
    last_failed_at: Mapped[datetime | None]
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PauseRow(Base):
    """A provider, channel or template that an operator has paused; without ``until``, until someone resumes it."""

    __tablename__ = "pauses"

    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    operator: Mapped[str]
    reason: Mapped[str]
    paused_at: Mapped[datetime] = mapped_column(server_default=NOW)
    until: Mapped[datetime | None]


class RelayRow(Base):
    """Heartbeat of a relay, which counts as alive for RELAY_ALIVE_SECONDS after it."""

    __tablename__ = "relays"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    version: Mapped[str]
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    batch_size: Mapped[int]
    connections: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class OperatorAction(Base):
    """Audit entry: who changed or revealed what, and why. Addresses are masked.

    A step of a bulk action has ``message_ids`` instead of ``message_id``, and ``states`` in the same order instead of
    the state of one message in ``before``.
    """

    __tablename__ = "operator_actions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    operator: Mapped[str]
    action: Mapped[str]
    message_id: Mapped[UUID | None]
    reason: Mapped[str]
    before: Mapped[dict[str, Any]]
    acted_at: Mapped[datetime] = mapped_column(server_default=NOW)
    after: Mapped[dict[str, Any] | None]
    bulk_id: Mapped[UUID | None]
    message_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid()))
    states: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))


class OperatorToken(Base):
    """A token for the console, stored as its SHA-256."""

    __tablename__ = "operator_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    token_hash: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class BulkActRow(Base):
    """A requeue or discard of all messages that match a filter, with its progress."""

    __tablename__ = "bulk_actions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    action: Mapped[str]
    operator: Mapped[str]
    reason: Mapped[str]
    wanted: Mapped[dict[str, Any]]
    per_minute: Mapped[int | None]
    status: Mapped[str] = mapped_column(server_default="running")
    found: Mapped[int]
    acted: Mapped[int] = mapped_column(default=0, server_default="0")
    skipped: Mapped[int] = mapped_column(default=0, server_default="0")
    cursor: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    next_step_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[datetime | None]


class ConsoleSession(Base):
    """An operator's browser session. ``id`` is the SHA-256 of the cookie's value."""

    __tablename__ = "console_sessions"

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    token_id: Mapped[UUID] = mapped_column(ForeignKey("operator_tokens.id", ondelete="CASCADE"))
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    used_at: Mapped[datetime] = mapped_column(server_default=NOW)


class IdempotencyKey(Base):
    """The response to a request with an Idempotency-Key, stored in the request's own transaction.

    ``id`` is a hash of the key and its endpoint, ``fingerprint`` a MAC of the request. Neither reveals the key or a
    password. The row is deleted together with the user that the response is about.
    """

    __tablename__ = "idempotency_keys"

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any]]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
