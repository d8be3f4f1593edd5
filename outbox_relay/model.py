"""The values of the relay: messages, failures, outcomes, limits and budgets. No IO."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from shared.addresses import country_prefix
from shared.reports.report import DeliveryReport
from shared.secrets import number_hash
from shared.templates import AnyTemplate
from shared.vocabulary import AnyChannel, DeadReason, Locale, Priority

POISON_LOST_LEASES = 5
"""After this many lost leases, a message counts as poison: it probably crashes the process that delivers it."""


@dataclass(frozen=True, slots=True)
class QueueKey:
    """The channel and the priority of one queue."""

    channel: AnyChannel
    priority: Priority

    def __str__(self) -> str:
        return f"{self.channel} {self.priority}"


class ClaimedMessage(NamedTuple):
    """A message and the lease on it.

    ``attempt`` counts the attempts already spent. Fields that end in ``_monotonic`` are times of this process's
    monotonic clock in seconds, computed from intervals that the database measured. ``due_at`` is the position in the
    queue. A claim does not change it. ``traceparent`` is read only while traces are recorded. A tuple, since a frozen
    dataclass with so many fields takes seven times as long to create.
    """

    id: UUID
    template: AnyTemplate
    channel: AnyChannel
    recipient: str
    locale: Locale
    payload: dict[str, Any]
    token_id: UUID | None
    attempt: int
    max_attempts: int
    lost_leases: int
    created_at: datetime
    due_at: datetime
    expires_at: datetime | None
    lease_token: UUID
    lease_ends_monotonic: float
    expires_monotonic: float
    enqueued_monotonic: float
    traceparent: str | None = None

    def __repr__(self) -> str:
        return f"ClaimedMessage({self.id})"  # without recipient and payload

    @property
    def is_poison(self) -> bool:
        """Whether it has lost too many leases to be tried again."""
        return self.lost_leases >= POISON_LOST_LEASES


class RenderedMessage(NamedTuple):
    """A message rendered for its channel, ready to submit.

    ``content`` of an e-mail is the whole RFC 5322 message: 7-bit, unless the recipient's address is not ASCII. Its
    lines end in CRLF and do not begin with a dot. For an SMS, ``content`` is the text in UTF-8. ``taken_monotonic`` is
    when a session took it.
    """

    message: ClaimedMessage
    content: bytes
    taken_monotonic: float

    def __repr__(self) -> str:
        return f"RenderedMessage({self.message.id})"

    @property
    def valid_seconds(self) -> int | None:
        """How long the provider may still deliver it: at least a second, or None if it never expires."""
        seconds = self.message.expires_monotonic - self.taken_monotonic
        return max(int(seconds), 1) if isfinite(seconds) else None


class FailureClass(StrEnum):
    """The cause of a failure. It decides whether the failure costs an attempt.

    ``RECIPIENT`` and ``CONTENT``: the message is dead. ``TRANSIENT``: the message is retried, and the attempt is spent.
    ``PROVIDER``: the message waits or goes to another provider, and no attempt is spent.
    """

    RECIPIENT = "recipient"
    CONTENT = "content"
    TRANSIENT = "transient"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of one attempt.

    ``maybe_accepted``: the connection broke after the relay had sent the final dot (SMTP), the HTTP body or the
    submit_sm (SMPP). So the provider may have accepted the message. ``is_about_message``: the provider replied to
    this message, and the reply names no cause that concerns all messages, such as missing credit. A failure of class
    ``PROVIDER`` can only then count as the message's own (``retry_policy.attributed``). ``error`` is for operators; it
    may quote the recipient and so is never logged.
    """

    kind: FailureClass
    provider: str | None
    error: str
    retry_after: timedelta | None = None
    maybe_accepted: bool = False
    is_about_message: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider has accepted the message. For e-mails and SMS this applies even after the lease was lost."""

    word: ClassVar = "sent"
    spent: ClassVar = 1

    provider: str
    provider_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after ``delay``; one attempt is spent."""

    word: ClassVar = "retry"
    spent: ClassVar = 1

    delay: timedelta
    failure: Failure


@dataclass(frozen=True, slots=True)
class Dead:
    """Not tried again unless an operator requeues it. If ``failure`` is None, the message died without an attempt."""

    word: ClassVar = "dead"

    reason: DeadReason
    failure: Failure | None = None

    @property
    def spent(self) -> int:
        """How many attempts that took."""
        return 1 if self.failure else 0


@dataclass(frozen=True, slots=True)
class Deferred:
    """Due again after ``delay``; no attempt is spent. With a delay of zero, it keeps its place in the queue."""

    word: ClassVar = "deferred"
    spent: ClassVar = 0

    delay: timedelta
    failure: Failure | None = None


Unsent = Retry | Dead | Deferred
Outcome = Sent | Unsent
DeliveryResult = Sent | Failure


StoreReport = Callable[[DeliveryReport], Awaitable[None]]
"""Commits a report. Raises psycopg's Error if the database is unavailable."""


class Scope(StrEnum):
    """What a budget limits."""

    TOTAL = "total"
    PREFIX = "prefix"
    NUMBER = "number"


Budgets = Mapping[Scope, int]
"""How many messages a day may fall back to SMS, for each scope."""


def scopes_by_name(number: str, key: bytes) -> Mapping[str, Scope]:
    """Return the names of the budgets that an SMS to this number counts against, each with its scope.

    Every relay locks these rows in the same order, beginning with the total, so that two relays cannot deadlock. The
    number is stored only as a keyed hash.
    """
    return {
        "total": Scope.TOTAL,
        f"prefix:{country_prefix(number)}": Scope.PREFIX,
        f"number:{number_hash(number, key)}": Scope.NUMBER,
    }


SECONDS_PER = {"s": 1, "m": 60, "h": 3600}


MOST = 1_000_000


_RATE = re.compile(r"([0-9]{1,7})/([smh])")


@dataclass(frozen=True)
class Rate:
    """So many messages a second (``s``), minute (``m``) or hour (``h``)."""

    count: int
    unit: str

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.count / SECONDS_PER[self.unit]

    @property
    def burst(self) -> float:
        """How many messages may be sent at once after a pause: as many as in one second, but at least one."""
        return max(self.per_second, 1.0)

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"


@dataclass(frozen=True)
class Caps:
    """The limits of a provider; None means no limit.

    ``rate`` limits the messages of all relays together. ``connections`` limits the connections of one process.
    """

    rate: Rate | None = None
    connections: int | None = None


WITHOUT_CAPS = Caps()


def parse_rate(text: str) -> Rate:
    """Read ``14/s``, ``100/m`` or ``1000/h``; raises ValueError."""
    found = _RATE.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= MOST:
        raise ValueError("not a rate")
    return Rate(int(found[1]), found[2])


class Settlement(NamedTuple):
    """A message and its outcome."""

    message: ClaimedMessage
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a consumer: messages held, how often it has looked for more, and how many it has settled."""

    held: int
    looks: int
    settled: int
    is_stopping: bool = False


class LateQueue(NamedTuple):
    """A queue whose oldest message has been due for too long.

    ``lag`` is in seconds; ``blocked_by`` has the reasons outside this relay.
    """

    name: str
    lag: float
    blocked_by: Sequence[str]
