"""Names and enums that the processes share. docs/reference/glossary.md explains the terms."""

from enum import StrEnum
from uuid import UUID

WAKE_CHANNEL = "signpost_outbox"
"""PostgreSQL NOTIFY channel that wakes the relays when a message is due."""
ERASED = "erased"
"""Replaces the recipient of a message when its user is erased."""

RELAY_ALIVE_SECONDS = 30
"""A relay without a heartbeat for longer counts as dead. Heartbeats are 10 to 15 s apart."""

PROVIDER_CONFIGURED_SECONDS = 120
"""A provider that no relay has seen for longer was removed from the settings. Relays mark theirs once a minute."""


class Channel(StrEnum):
    """How a message reaches a person."""

    EMAIL = "email"
    SMS = "sms"


class WorkChannel(StrEnum):
    """The channel of a message that is a task for the relay."""

    PROVISION = "provision"


AnyChannel = Channel | WorkChannel
"""The channel of any message in the outbox."""
CHANNELS: tuple[AnyChannel, ...] = (*Channel, *WorkChannel)


class Status(StrEnum):
    """Status of a message. A lease is not a status: it ends without an update of the row."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


class DeadReason(StrEnum):
    """Why a message gets no further attempt."""

    REJECTED = "rejected"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"
    POISON = "poison"
    SUPPRESSED = "suppressed"


class SuppressionReason(StrEnum):
    """Why an address is suppressed. A complaint does not suppress codes to an address that was proven."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPERATOR = "operator"


class PauseKind(StrEnum):
    """The kinds of things that an operator can pause."""

    PROVIDER = "provider"
    CHANNEL = "channel"
    TEMPLATE = "template"


class Priority(StrEnum):
    """Delivery priority, highest first. A person waits for a code: high. A notice reports something done: low."""

    HIGH = "high"
    LOW = "low"


class RetrySchedule(StrEnum):
    """The retry schedules that a template may name. ``outbox_relay.delivery.retry_policy`` has their delays.

    ``CODE``: a person waits at the form. ``LINK``: the link is valid for a day. ``NOTICE``: the message reports
    something done.
    """

    CODE = "code"
    LINK = "link"
    NOTICE = "notice"


class Work(StrEnum):
    """A task for the relay, in place of a template."""

    FOUND_ORGANIZATION = "organization"
    REPAIR_ORGANIZATION = "organization_repair"

    @property
    def priority(self) -> Priority:
        """Delivery priority: a user is waiting to activate or to sign in."""
        return Priority.HIGH


class OrganizationStatus(StrEnum):
    """Status of an organization.

    ``PLANNED``: its database is provisioned after the activation of its founder. ``READY``: its database was
    provisioned. Its health shows the current state.
    """

    PLANNED = "planned"
    PROVISIONING = "provisioning"
    READY = "ready"
    FAILED = "failed"


class MemberRole(StrEnum):
    """The role of a user in an organization. The founder is its first owner."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class Purpose(StrEnum):
    """Purpose of a token. A decoy looks like the others and cannot be used."""

    ACTIVATION = "activation"
    DECOY = "decoy"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of a purpose
    ADDRESS_CHANGE = "address_change"
    INVITATION = "invitation"


class UserStatus(StrEnum):
    """Status of a user. Another registration with a retired user's address was activated first."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"


class Locale(StrEnum):
    """The languages of messages."""

    EN = "en"
    FR = "fr"


class HealthStatus(StrEnum):
    """Result of the last check of an organization's database. Members can sign in only if it is ``HEALTHY``.

    ``LOST``: the database does not exist. ``DAMAGED``: it exists, and members cannot work in it. ``UNREACHABLE``: the
    server did not respond or refused connections, so the state of the database is unknown.
    """

    HEALTHY = "healthy"
    LOST = "lost"
    DAMAGED = "damaged"
    UNREACHABLE = "unreachable"


def database_name_of(organization_id: UUID) -> str:
    """Return the name of the organization's database. It contains no user input."""
    return f"org_{organization_id.hex}"
