"""What operators are shown: plain values in the order in which they are shown, and their form as JSON."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

Mask: TypeAlias = Callable[[str], str]
"""How an address is written: masked, or for who may see it and has said why, as it is."""


def unmasked(address: str) -> str:
    """Return the address as it is: the mask of those to whom it is revealed, which leaves an audit row before."""
    return address


@dataclass(frozen=True)
class MessageView:
    """A message in a list. Its words are text: a newer release may have written some that this one does not know."""

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


@dataclass(frozen=True)
class Page:
    """Some messages, newest first, and where the next page begins; None where there is none.

    A page may have fewer messages than asked for, or none, and yet a next: a statement looks at so many rows and no
    more, and ``looked_back_to`` is when the last of them was enqueued.
    """

    messages: tuple[MessageView, ...]
    next_cursor: UUID | None
    looked_back_to: datetime | None = None


@dataclass(frozen=True)
class AttemptView:
    """A try that failed."""

    attempt: int
    outcome: str
    provider: str | None
    error_class: str | None
    error: str | None
    ended_at: datetime


@dataclass(frozen=True)
class ActionView:
    """An audit row: what an operator did, and why."""

    id: int
    action: str
    operator: str
    reason: str
    message_id: UUID | None
    bulk_id: UUID | None
    before: dict[str, Any]
    after: dict[str, Any] | None
    acted_at: datetime


@dataclass(frozen=True)
class TimelineEntry:
    """Something that happened to a message. ``what`` is enqueued, an outcome, an action, fell_back, sent or dead."""

    at: datetime
    what: str
    who: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class MessageDetail(MessageView):
    """One message with all that is known of it."""

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
    operator_actions: tuple[ActionView, ...]
    timeline: tuple[TimelineEntry, ...]


@dataclass(frozen=True)
class CauseView:
    """What many messages died of: the reason, whose words, and what these have in common."""

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
    """Causes, the commonest first; ``is_whole`` is False where there are more than were looked for."""

    causes: tuple[CauseView, ...]
    is_whole: bool


@dataclass(frozen=True)
class CausesAt:
    """The same, and when they were counted."""

    counted: Causes
    at: datetime


@dataclass(frozen=True)
class ProviderView:
    """What the relays know together of a provider; its breaker is closed, open or half_open."""

    provider: str
    breaker: str
    since: datetime
    open_until: datetime | None
    openings: int
    last_failure_class: str | None
    last_failed_at: datetime | None
    rate: str | None
    seen_at: datetime


@dataclass(frozen=True)
class RelayView:
    """A relay that is alive: what it serves, and since when."""

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
    """What waits on a channel: counted up to a bound, of which ``is_more`` says that it was reached.

    ``due`` has what relays hold just now, too; ``lag_seconds``, the age of the oldest due message, looks past it.
    """

    channel: str
    due: int
    pending: int
    is_more: bool
    lag_seconds: float


@dataclass(frozen=True)
class HourView:
    """What came of a channel's messages in the hour that begins at ``hour``."""

    hour: datetime
    channel: str
    sent: int
    dead: int


@dataclass(frozen=True)
class Stats:
    """How the outbox stands now, and how the last 24 hours went, each with each channel, the oldest first."""

    at: datetime
    backlog: tuple[BacklogView, ...]
    dead: int
    is_more_dead: bool
    hours: tuple[HourView, ...]
    providers: tuple[ProviderView, ...]
    relays: tuple[RelayView, ...]


def as_json(view: Any) -> dict[str, Any]:
    """Return a view as values that JSON has, in the same order."""
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
