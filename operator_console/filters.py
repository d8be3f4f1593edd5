"""The filter for messages that the command line, the HTTP interface and the pages share; conditions of other rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Self, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnClause, ColumnElement, Function, Uuid, and_, exists, func, literal_column, or_, select

from shared.addresses import InvalidAddressError, canonical_phone, deliverable_email
from shared.ids import EPOCH
from shared.models import DELIVERY_STATES, OperatorAction, OutboxMessage, PauseRow, ProviderRow, ReportRow
from shared.reports.report import ReportKind
from shared.templates import TEMPLATES_AND_WORK, AnyTemplate
from shared.texts import masked
from shared.vocabulary import CHANNELS, AnyChannel, DeadReason, PauseKind, Status

# A literal: PostgreSQL uses a partial index for a constant, but not for a parameter of a prepared statement.
_DEAD: ColumnClause[str] = literal_column("'dead'")

Messages: TypeAlias = type[OutboxMessage]
"""The outbox table, or an alias of a subquery on it."""


@dataclass(frozen=True)
class MessageFilter:
    """What messages must have; None means any.

    ``created_after`` (inclusive) and ``created_before`` (exclusive) compare the time in a message's id, for which the
    primary key suffices. That time comes from the process that enqueued the message. ``cause`` is the id of a cause of
    dead messages, ``bounce_cause`` one of bounces.
    """

    status: Status | None = None
    dead_reason: DeadReason | None = None
    channel: AnyChannel | None = None
    template: AnyTemplate | None = None
    provider: str | None = None
    recipient: str | None = field(default=None, repr=False)
    created_after: datetime | None = None
    created_before: datetime | None = None
    cause: str | None = None
    delivery_state: ReportKind | None = None
    bounce_cause: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the filter matches every message."""
        return self == MessageFilter()

    @property
    def is_dead_only(self) -> bool:
        """Whether the filter matches only dead messages, for which there is a partial index."""
        return self.status is Status.DEAD or self.dead_reason is not None or self.cause is not None

    @property
    def matches_all_dead(self) -> bool:
        """Whether the filter matches every dead message."""
        return replace(self, status=None).is_empty

    def as_json(self) -> dict[str, str]:
        """Return the fields that are set, as JSON values that ``from_json`` reads."""
        return {
            one.name: value.isoformat() if isinstance(value, datetime) else str(value)
            for one in fields(self)
            if (value := getattr(self, one.name)) is not None
        }

    def masked(self) -> dict[str, str]:
        """Return the same with the recipient masked, for storage in an audit row."""
        return masked_json(self.as_json())

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return the filter of these values, with the recipient in the form that messages have."""
        wanted = cls(**values)
        return wanted if wanted.recipient is None else replace(wanted, recipient=_address(wanted.recipient))

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Read the output of ``as_json``. Raises KeyError or ValueError for unknown names and values."""
        return cls.of(**{name: _READERS[name](str(value)) for name, value in plain.items()})


def masked_json(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the output of ``as_json``, of this release or another, with its recipient masked."""
    return plain | ({"recipient": masked(str(plain["recipient"]))} if plain.get("recipient") else {})


def _address(text: str) -> str:
    """Return the address in the form that messages have; text that is no address matches no message."""
    try:
        return deliverable_email(text) if "@" in text else canonical_phone(text)
    except InvalidAddressError:
        return text


def _member_of(members: Iterable[str]) -> Callable[[str], str]:
    return {str(member): member for member in members}.__getitem__


_READERS: dict[str, Any] = {
    "status": Status,
    "dead_reason": DeadReason,
    "channel": _member_of(CHANNELS),
    "template": _member_of(TEMPLATES_AND_WORK),
    "provider": str,
    "recipient": str,
    "created_after": datetime.fromisoformat,
    "created_before": datetime.fromisoformat,
    "cause": str,
    "delivery_state": ReportKind,
    "bounce_cause": str,
}


def cause_of(messages: Messages = OutboxMessage) -> Function[str]:
    """Return the cause of a dead message, as the expression that the index has."""
    return func.signpost_cause(messages.dead_reason, messages.provider, messages.last_error)


def bounce_cause_of() -> Function[str]:
    """Return the cause of a bounce: whose failure it is, the status code, and the pattern of the diagnostic."""
    return func.signpost_cause(ReportRow.cause, ReportRow.status_code, ReportRow.diagnostic)


def is_bounce_that_counts() -> ColumnElement[bool]:
    """Return the condition of applied reports that their messages bounced."""
    return and_(
        ReportRow.kind == ReportKind.BOUNCED.value,
        ReportRow.applied_at.is_not(None),
        ReportRow.ignored_because.is_(None),
    )


def index_conditions(wanted: MessageFilter) -> list[ColumnElement[bool]]:
    """Return the conditions that an index in the order of ids answers."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.is_dead_only:
        conditions.append(OutboxMessage.status == _DEAD)
    if wanted.cause is not None:
        conditions.append(cause_of() == wanted.cause)
    if wanted.created_after is not None:
        conditions.append(OutboxMessage.id >= _lowest_id_at(wanted.created_after))
    if wanted.created_before is not None:
        conditions.append(OutboxMessage.id < _lowest_id_at(wanted.created_before))
    return conditions


def row_conditions(wanted: MessageFilter, messages: Messages = OutboxMessage) -> list[ColumnElement[bool]]:
    """Return the other conditions, which have to be checked row by row."""
    conditions: list[ColumnElement[bool]] = []
    for name in ("status", "dead_reason", "channel", "template", "provider"):
        value = getattr(wanted, name)
        if value is not None and value is not Status.DEAD:
            conditions.append(getattr(messages, name) == value)
    if wanted.recipient is not None:
        conditions.append(func.lower(messages.recipient) == func.lower(wanted.recipient))
    if wanted.delivery_state is not None:
        state = select(DELIVERY_STATES.c.state).where(DELIVERY_STATES.c.message_id == messages.id)
        conditions.append(state.scalar_subquery() == wanted.delivery_state.value)
    if wanted.bounce_cause is not None:
        is_of_cause = and_(is_bounce_that_counts(), bounce_cause_of() == wanted.bounce_cause)
        conditions.append(exists().where(ReportRow.message_id == messages.id, is_of_cause))
    return conditions


def is_about(message_id: UUID) -> ColumnElement[bool]:
    """Return the condition of audit rows about a message, also as one of many in a step of a bulk action."""
    return or_(OperatorAction.message_id == message_id, OperatorAction.message_ids.contains([message_id]))


def is_active_pause() -> ColumnElement[bool]:
    """Return the condition of pauses that have not ended."""
    return or_(PauseRow.until.is_(None), PauseRow.until > func.now())


def is_paused_provider() -> ColumnElement[bool]:
    """Return the condition of providers that relays do not use, because an operator paused them or their channel."""
    own = and_(PauseRow.kind == PauseKind.PROVIDER.value, PauseRow.name == ProviderRow.name)
    of_channel = and_(PauseRow.kind == PauseKind.CHANNEL.value, PauseRow.name == ProviderRow.channel)
    return exists().where(is_active_pause(), or_(own, of_channel)).correlate(ProviderRow)


def _lowest_id_at(moment: datetime) -> Function[Any]:
    """Return the lowest id of that moment. Ids count from 1970: an earlier moment would wrap around to the top."""
    return func.signpost_uuid7_floor(max(moment, EPOCH), type_=Uuid())
