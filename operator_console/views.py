"""Values that operators see, with their fields in the order of display, and their form as JSON."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

V = TypeVar("V")
Mask: TypeAlias = Callable[[str], str]
"""How an address is shown: ``shared.texts.masked``, or ``unmasked`` after an audit row was written."""


def unmasked(address: str) -> str:
    """Return the address itself. Callers record who reveals it before they use this mask."""
    return address


@dataclass(frozen=True)
class MessageView:
    """A message in a list. Status, template and the like are text: a newer release may have added members."""

    id: UUID
    status: str
    dead_reason: str | None
    template: str
    channel: str
    recipient: str = field(repr=False)
    attempt: int
    max_attempts: int
    provider: str | None
    last_error_class: str | None
    created_at: datetime
    due_at: datetime | None
    settled_at: datetime | None
    cause: str | None
    delivery_state: str | None


@dataclass(frozen=True)
class Page:
    """Some messages, newest first, and the cursor of the next page, or None on the last.

    A page may have fewer messages than requested and still have a next page: a statement scans a limited number of
    rows. ``searched_back_to`` is then the time at which the last scanned message was enqueued.
    """

    messages: tuple[MessageView, ...]
    next_cursor: UUID | None
    searched_back_to: datetime | None = None


@dataclass(frozen=True)
class AttemptView:
    """A failed attempt."""

    attempt: int
    outcome: str
    provider: str | None
    error_class: str | None
    error: str | None
    ended_at: datetime


@dataclass(frozen=True)
class ReportView:
    """A delivery report about a message. With ``ignored_because``, it does not count."""

    kind: str
    cause: str | None
    is_permanent: bool
    status_code: str | None
    diagnostic: str | None
    source: str
    occurred_at: datetime | None
    received_at: datetime
    ignored_because: str | None

    @property
    def event(self) -> str:
        """Its name in a timeline."""
        return "report_ignored" if self.ignored_because else self.kind

    @property
    def detail(self) -> str:
        """What it says, on one line."""
        facts = [self.kind if self.ignored_because else None, self.cause, self.status_code, self.diagnostic]
        return f"{', '.join(filter(None, facts)) or 'no details'} (by {self.source})"


@dataclass(frozen=True)
class ActionView:
    """An audit row: an operator's action and its reason."""

    id: int
    action: str
    operator: str
    reason: str
    message_id: UUID | None
    bulk_id: UUID | None
    before: dict[str, Any]
    after: dict[str, Any] | None
    acted_at: datetime

    @property
    def event(self) -> str:
        """The action's name in a timeline. Masked addresses may look the same, so a correction has a separate name."""
        return "correct_recipient" if "recipient" in (self.after or {}) else self.action


@dataclass(frozen=True)
class TimelineEntry:
    """An event of a message: enqueued, an attempt's end, an operator's action, fell_back, sent, dead or was_dead.

    Delivery reports add delivered, bounced, delayed, complained, and report_ignored for an ignored report.
    An attempt ends with retry, deferred or failed. ``was_dead`` has the time of the next operator's action.
    ``bulk_id`` is the bulk action of an operator's action.
    """

    at: datetime
    event: str
    actor: str | None = None
    detail: str | None = None
    bulk_id: UUID | None = None


@dataclass(frozen=True)
class MessageDetail(MessageView):
    """One message with its attempts, its operator actions and its timeline."""

    locale: str
    last_error: str | None
    provider_message_id: str | None
    expires_at: datetime | None
    leased_until: datetime | None
    fallback_channel: str | None
    fallback_at: datetime | None
    fallback_of: UUID | None
    fell_back_to: UUID | None
    attempts: tuple[AttemptView, ...]
    reports: tuple[ReportView, ...]
    operator_actions: tuple[ActionView, ...]
    timeline: tuple[TimelineEntry, ...]


@dataclass(frozen=True)
class CauseView:
    """Dead messages with the same reason, provider and error pattern."""

    cause: str
    messages: int
    dead_reason: str
    provider: str | None
    error: str | None
    first_seen: datetime
    last_seen: datetime
    newest_id: UUID


@dataclass(frozen=True)
class Causes:
    """Causes by number of messages, largest first; ``is_complete`` is False if there are more than these."""

    causes: tuple[CauseView, ...]
    is_complete: bool
    counted_at: datetime


@dataclass(frozen=True)
class BounceCauseView:
    """Bounced messages with the same cause, status code and pattern of the diagnostic; ``bounce_cause`` is its id."""

    bounce_cause: str
    messages: int
    cause: str | None
    status_code: str | None
    diagnostic: str | None
    first_seen: datetime
    last_seen: datetime
    newest_id: UUID


@dataclass(frozen=True)
class BounceCauses:
    """The causes of the last days' bounces, largest first; ``is_complete`` is False if not all were counted."""

    causes: tuple[BounceCauseView, ...]
    is_complete: bool
    counted_at: datetime


@dataclass(frozen=True)
class ProviderView:
    """The state of a provider that the relays share; its breaker is closed, open or half_open.

    ``is_paused`` is true while an operator pauses the provider or its channel.
    """

    provider: str
    channel: str | None
    breaker: str
    since: datetime
    open_until: datetime | None
    consecutive_opens: int
    last_failure_class: str | None
    last_error: str | None
    last_failed_at: datetime | None
    rate: str | None
    is_paused: bool
    seen_at: datetime


@dataclass(frozen=True)
class PauseView:
    """What an operator has paused: a provider, a channel or a template; without ``until`` until it is resumed."""

    kind: str
    name: str
    until: datetime | None
    paused_at: datetime
    operator: str
    reason: str


@dataclass(frozen=True)
class SuppressionView:
    """An entry of the suppression list. ``id`` is the keyed hash of the address in hexadecimal."""

    id: str
    reason: str
    strikes: int
    since: datetime
    until: datetime
    key_id: str


@dataclass(frozen=True)
class RelayView:
    """A relay with a recent heartbeat, and the channels it serves."""

    id: UUID
    host: str
    version: str
    channels: tuple[str, ...]
    batch_size: int
    connections: int
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True)
class BacklogView:
    """The backlog of a channel. If ``is_capped``, counting stopped at its limit.

    ``due`` includes leased messages; ``lag_seconds``, the age of the oldest due message, ignores them. A probe of a
    provider that is down postpones the message that it tries. So an outage with few messages shows only in
    ``oldest_pending_seconds``, the time since the oldest pending message was created.
    """

    channel: str
    due: int
    pending: int
    is_capped: bool
    lag_seconds: float
    oldest_pending_seconds: float


@dataclass(frozen=True)
class HourView:
    """The outcomes of a channel in the hour that starts at ``hour``."""

    hour: datetime
    channel: str
    sent: int
    dead: int


@dataclass(frozen=True)
class Stats:
    """The state of the outbox, and the last 24 hours by channel, oldest first; ``dead`` excludes discarded messages."""

    at: datetime
    backlog: tuple[BacklogView, ...]
    dead: int
    is_dead_capped: bool
    hours: tuple[HourView, ...]
    providers: tuple[ProviderView, ...]
    pauses: tuple[PauseView, ...]
    relays: tuple[RelayView, ...]


@dataclass(frozen=True)
class OrganizationView:
    """An organization in a list. ``health`` is the last health check's result, or None before the first check."""

    id: UUID
    name: str = field(repr=False)
    status: str
    health: str | None
    health_error: str | None
    revision: str | None
    tables: int | None
    size_bytes: int | None
    checked_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class OrganizationPage:
    """Some organizations, newest first, and the cursor of the next page, or None on the last."""

    organizations: tuple[OrganizationView, ...]
    next_cursor: UUID | None


@dataclass(frozen=True)
class StepView:
    """A step of provisioning. Without ``done_at`` it is running or has failed."""

    step: str
    started_at: datetime
    done_at: datetime | None
    error_class: str | None
    error: str | None = field(repr=False)


@dataclass(frozen=True)
class LossView:
    """A lost database: its size at the last healthy check, and when an empty one replaced it."""

    found_at: datetime
    healthy_at: datetime | None
    revision: str | None
    tables: int | None
    size_bytes: int | None
    restored_at: datetime | None


@dataclass(frozen=True)
class OrganizationDetail(OrganizationView):
    """One organization with its database's history.

    The database of a failed or removed organization is dropped after a while (``dropped_at``), unless ``kept_because``
    says why not yet.
    """

    country: str | None
    members: int
    founder_id: UUID
    database_name: str
    ready_at: datetime | None
    failed_at: datetime | None
    healthy_at: datetime | None
    check_due_at: datetime
    repair_id: UUID | None
    dropped_at: datetime | None
    kept_because: str | None
    steps: tuple[StepView, ...]
    losses: tuple[LossView, ...]


def from_row(view: type[V], row: Any, **others: Any) -> V:
    """Return a view whose fields are the row's attributes of the same name, and ``others``."""
    names = [one.name for one in fields(view)]  # type: ignore[arg-type] # all views are dataclasses
    return view(**{name: getattr(row, name) for name in names if name not in others}, **others)


def state_before(action: Any, message_id: UUID) -> dict[str, Any]:
    """Return the state of a message before an action, from its audit row."""
    if action.message_ids is None:
        return dict(action.before)
    return dict(action.states[action.message_ids.index(message_id)])


def as_json(view: Any) -> dict[str, Any]:
    """Return a view as JSON values, in the order of its fields."""
    return {name: _plain(value) for name, value in asdict(view).items()}


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return _WRITERS[type(value)](value) if type(value) in _WRITERS else value


_WRITERS: Mapping[type, Callable[[Any], Any]] = {
    datetime: datetime.isoformat,
    timedelta: timedelta.total_seconds,
    UUID: str,
}
