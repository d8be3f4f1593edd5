"""The closed sets that the processes share; docs/glossary.md says what each word means."""

from enum import StrEnum
from uuid import UUID

WAKE_CHANNEL = "signpost_outbox"
"""PostgreSQL NOTIFY channel on which the API tells the relays that something is due."""
SETTLED_CHANNEL = "signpost_settled"
"""PostgreSQL NOTIFY channel on which the relays tell the API which messages have settled: ids, comma-separated."""
ERASED = "erased"
"""What stands for the recipient of a message whose user was erased."""

RELAY_ALIVE_SECONDS = 30
"""A relay not seen in its row of `relays` for longer is taken for dead; it tells of itself every ten to fifteen."""


class Channel(StrEnum):
    """The way a message goes."""

    EMAIL = "email"
    SMS = "sms"


class WorkChannel(StrEnum):
    """The way of a message that has the relay do something, instead of telling somebody."""

    PROVISION = "provision"


AnyChannel = Channel | WorkChannel
"""Of a message in the outbox, whatever it is for."""
CHANNELS: tuple[AnyChannel, ...] = (*Channel, *WorkChannel)


class Status(StrEnum):
    """Where a message stands. Being leased is not a status: a lease runs out by itself."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


class DeadReason(StrEnum):
    """Why a message will not be tried again."""

    REJECTED = "rejected"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"
    POISON = "poison"
    UNKNOWN_OUTCOME = "unknown_outcome"


class Urgency(StrEnum):
    """How long a message can wait, the most urgent first: someone sits before a code; a notice tells what was done."""

    CODE = "code"
    NOTICE = "notice"


class Template(StrEnum):
    """Which words a message carries."""

    ACTIVATION = "activation"
    ACCOUNT_EXISTS = "account_exists"
    WELCOME = "welcome"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of a template
    NO_ACCOUNT = "no_account"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a template
    ADDRESS_CHANGE = "address_change"
    ADDRESS_CHANGED = "address_changed"
    OPERATOR_DIGEST = "operator_digest"
    ORGANIZATION_FAILED = "organization_failed"

    @property
    def urgency(self) -> Urgency:
        """How long a message with these words can wait."""
        match self:
            # Whoever registers sees when the message was sent. Were the one to a taken address any less
            # urgent, a backlog of notices would tell which addresses are taken.
            case Template.ACTIVATION | Template.ACCOUNT_EXISTS:
                return Urgency.CODE
            case Template.PASSWORD_RESET | Template.NO_ACCOUNT | Template.ADDRESS_CHANGE:
                return Urgency.CODE
            case Template.WELCOME | Template.PASSWORD_CHANGED | Template.ADDRESS_CHANGED | Template.OPERATOR_DIGEST:
                return Urgency.NOTICE
            case Template.ORGANIZATION_FAILED:
                return Urgency.NOTICE


class Work(StrEnum):
    """What a message has the relay do; it stands where others have their template."""

    FOUND_ORGANIZATION = "organization"
    REPAIR_ORGANIZATION = "organization_repair"

    @property
    def urgency(self) -> Urgency:
        """How long it can wait: someone sits before a form, or before a door that is closed."""
        match self:
            case Work.FOUND_ORGANIZATION | Work.REPAIR_ORGANIZATION:
                return Urgency.CODE


AnyTemplate = Template | Work
"""Of a message in the outbox, whatever it is for."""
TEMPLATES: tuple[AnyTemplate, ...] = (*Template, *Work)


class OrganizationStatus(StrEnum):
    """Where an organization stands. That it is ready says that its database once was; its health says whether it is."""

    PROVISIONING = "provisioning"
    READY = "ready"
    FAILED = "failed"


class Purpose(StrEnum):
    """What a token may be used for. A decoy can never be used; it only looks like the others."""

    ACTIVATION = "activation"
    DECOY = "decoy"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of a purpose
    ADDRESS_CHANGE = "address_change"


class UserStatus(StrEnum):
    """Retired users lost their address to another registration of it that was activated first."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"


class Locale(StrEnum):
    """The languages that messages are written in."""

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
