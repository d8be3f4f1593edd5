"""A channel's providers in order of preference; the first one that can take a message gets it.

Each provider has its circuit breaker, permits, sessions, and the state shared with other relays.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from outbox_relay.channels.base import CappedProvider, MessageSource, NoMessages, Provider, ProviderDownError, Session
from outbox_relay.failures.masking import masked_error
from outbox_relay.metrics import BREAKER_OPEN, count_failure, register_provider
from outbox_relay.model import ClaimedMessage, Failure
from outbox_relay.pauses import Pauses
from outbox_relay.providers.circuit_breaker import NOTHING, WINDOW_SECONDS, BreakerState, CircuitBreaker
from outbox_relay.providers.rate_limiter import PermitCache
from shared.log import get_logger
from shared.vocabulary import AnyChannel, PauseKind

FIRST_PROVIDER_WAIT = timedelta(seconds=5)
"""If the preferred provider has no free session or no permit, a message younger than this waits for it. A rate limit is
not an outage, and the next provider may cost more or have a worse reputation. An older message goes to the next
provider at once."""

RECHECK_SECONDS = 1.0
"""How soon to look again at a provider that cannot take messages now."""

PROBE_PERMIT_SECONDS = 5.0
"""How long one relay alone may probe a provider; a relay renews its permit while a probe is in flight."""

LOGIN_AFTER_SECONDS = 30.0
"""How long a provider stays half open before a relay probes it with a login. A waiting message would have probed it
sooner, so no message waits. The next one may come hours later, and the breaker must not stay half open until then."""

log = get_logger("relay.providers")


@dataclass(frozen=True, slots=True)
class ProviderStateUpdate:
    """An update of the provider's row by one relay: breaker changes, permits to draw or return, a probe request.

    ``open_for`` is a duration in seconds, so that the clocks of two hosts are never compared. ``failure`` is the one
    that opened the breaker.
    """

    change: BreakerState | None
    consecutive_opens: int
    open_for: float
    failure: Failure | None
    wanted: int
    returned: int
    wants_probe_permit: bool


@dataclass(frozen=True, slots=True)
class ProviderState:
    """The state in the provider's row: the breaker, which all relays share, and the permits granted to this relay.

    Times are in seconds. A negative ``open_for`` is the time since the breaker became half open.
    """

    consecutive_opens: int
    open_for: float
    has_probe_permit: bool = False
    granted: int = 0
    token_in: float = 0.0


class SessionPool:
    """The sessions of one provider, shared by its delivery workers; at most ``connections`` in use at a time.

    A worker gets the session used last, since its connection is most likely still open.
    """

    def __init__(self, provider: Provider, connections: int) -> None:
        self.connections = connections
        self.in_use = 0
        self._provider = provider
        self._idle: list[Session] = []
        # Most providers, also those of other packages, lack it: their connections are of no use without messages.
        self._stays_bound = getattr(provider, "stays_bound", False)

    def has_room(self) -> bool:
        """Return whether another delivery worker may use a session."""
        return self.in_use < self.connections

    def needs_bind(self) -> bool:
        """Return whether to bind without messages: the provider may have receipts, and no session is bound."""
        return self._stays_bound and not self.in_use and not any(session.is_bound for session in self._idle)  # type: ignore[attr-defined] # sessions of such a provider have it

    async def deliver(self, source: MessageSource) -> None:
        """Deliver through an idle session, or through a new one; raises ProviderDownError."""
        session = self._idle.pop() if self._idle else self._provider.session()
        try:
            await session.deliver(source)
        finally:
            self._idle.append(session)

    async def close(self) -> None:
        """Close the idle sessions."""
        while self._idle:
            await self._idle.pop().close()


class StateExchange:
    """Collects updates of a provider's state for the other relays, and applies their state here."""

    def __init__(self, breaker: CircuitBreaker, permits: PermitCache) -> None:
        self._breaker = breaker
        self._permits = permits
        self._change: BreakerState | None = None
        self._wants_probe_permit = False
        self._refused_until = float("-inf")

    def is_pending(self, now: float) -> bool:
        """Return whether there is something to send or to request now."""
        return self._change is not None or self._wants_probe_permit or self._permits.is_wanting(now)

    def breaker_changed(self, state: BreakerState) -> None:
        """Send this change with the next update."""
        self._change = state

    def may_request_probe_permit(self, now: float) -> bool:
        """Return whether a probe permit may be requested. After a refusal, the relay waits a second."""
        return now >= self._refused_until

    def request_probe_permit(self, now: float) -> None:
        """Request a probe permit with the next update."""
        self._wants_probe_permit = self.may_request_probe_permit(now)

    def take_update(self, now: float, last_failure: Failure | None, *, is_probing: bool) -> ProviderStateUpdate | None:
        """Take the next update, or None if there is none. The update also returns all unused permits."""
        renews = is_probing and self._breaker.state(now) is BreakerState.HALF_OPEN
        if not (self.is_pending(now) or self._permits.has_leftovers(now) or renews):
            return None
        wanted, returned = self._permits.empty(now)
        update = ProviderStateUpdate(
            change=self._change,
            consecutive_opens=self._breaker.consecutive_opens,
            open_for=self._breaker.remaining(now).total_seconds(),
            failure=last_failure if self._change is BreakerState.OPEN else None,
            wanted=wanted,
            returned=returned,
            wants_probe_permit=self._wants_probe_permit or renews,
        )
        self._change, self._wants_probe_permit = None, False
        return update

    def apply(self, now: float, update: ProviderStateUpdate | None, state: ProviderState) -> bool:
        """Adopt the shared state, unless this relay has a newer change; return whether more may be sent now."""
        before = self._breaker.state(now)
        if self._change is None:
            self._breaker.adopt(now, state.consecutive_opens, state.open_for)
        has_changed = before is not self._breaker.state(now)
        if update is None:
            return has_changed
        if update.wants_probe_permit and not state.has_probe_permit:
            self._refused_until = now + RECHECK_SECONDS
        if state.has_probe_permit:
            self._breaker.probe_permit_until = now + PROBE_PERMIT_SECONDS
        if update.wanted:
            self._permits.fill(state.granted, update.wanted, state.token_in, now)
        return state.has_probe_permit or state.granted > 0 or has_changed

    def apply_alone(self, now: float, update: ProviderStateUpdate | None) -> bool:
        """Without the database, act as if this were the only relay. Return whether more messages may be sent now."""
        if update is None:
            return False
        self._change = self._change or update.change
        if update.wants_probe_permit:
            self._breaker.probe_permit_until = now + PROBE_PERMIT_SECONDS
        if update.wanted:
            self._permits.fill_alone(update.wanted, now)
        return True


class PooledProvider:
    """A provider with everything that decides whether it gets the next message."""

    def __init__(self, capped: CappedProvider, clock: Callable[[], float], connections: int) -> None:
        self.provider = capped.provider
        self.rate = capped.caps.rate
        self.clock = clock
        self.breaker = CircuitBreaker()
        self.permits = PermitCache(self.rate, clock())
        self.sessions = SessionPool(self.provider, capped.caps.connections or connections)
        self.exchange = StateExchange(self.breaker, self.permits)
        self.last_failure: Failure | None = None
        self.is_paused = False
        self._last_success = float("-inf")
        self._has_probing_worker = False
        self._probe: UUID | None = None

    @property
    def name(self) -> str:
        """The name that operators see."""
        return self.provider.name

    def register_metrics(self) -> None:
        """Show this provider in the metrics. The gauge of its breaker keeps the value of the last generation."""
        register_provider(self.name, (lambda: self.permits.wait(self.clock())) if self.rate else None)

    # Decisions

    def state(self) -> BreakerState:
        """Return the state of the breaker."""
        return self.breaker.state(self.clock())

    def is_usable(self) -> bool:
        """Return whether messages may be submitted now, or may be soon."""
        return not self.is_paused and self.state() is not BreakerState.OPEN

    def is_passed_over(self) -> bool:
        """Return whether its messages go to the next provider at once: an operator paused it, or it is down."""
        return self.is_paused or self.state() is not BreakerState.CLOSED

    def is_healthy(self) -> bool:
        """Return whether it has accepted a message recently, so that a refusal concerns the message alone."""
        return self.clock() - self._last_success < WINDOW_SECONDS

    def offer(self, limit: int) -> int:
        """Return how many of ``limit`` messages this provider may get now.

        If rate permits or the probe permit are missing, request them with the next exchange.
        """
        if self.is_paused:
            return 0
        now = self.clock()
        match self.breaker.state(now):
            case BreakerState.CLOSED:
                return self.permits.affordable(limit, now)
            case BreakerState.HALF_OPEN if self.breaker.has_probe_permit(now):
                return self.permits.affordable(0 if self._is_probing() else 1, now)
            case BreakerState.HALF_OPEN:
                self.exchange.request_probe_permit(now)
                return 0
            case BreakerState.OPEN:
                return 0

    def admits(self) -> bool:
        """Return whether another worker may start with this provider: a session is free, and it may get a message."""
        return self.sessions.has_room() and self.offer(1) > 0

    def may_take(self) -> bool:
        """Return whether a worker of this provider may take another message.

        While the breaker is closed, it may, if there are permits. While it is half open, only one message at a time may
        be in flight, as a probe.
        """
        if self.is_paused:
            return False
        now = self.clock()
        match self.breaker.state(now):
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN if self._probe is not None or not self.breaker.has_probe_permit(now):
                return False
            case _:
                return self.permits.affordable(1, now) > 0

    def may_admit_within(self, timeout: timedelta) -> bool:
        """Return whether it makes sense to wait for this provider.

        It does if only a free session, a permit that comes within ``timeout``, or an exchange with the other relays is
        missing.
        """
        if self.is_paused:
            return False
        now = self.clock()
        match self.breaker.state(now):
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                return self.breaker.has_probe_permit(now) or self.exchange.may_request_probe_permit(now)
            case BreakerState.CLOSED:
                return self.permits.wait(now) <= timeout.total_seconds()

    def needs_login(self) -> bool:
        """Return whether to probe with a login, because no message does; request the probe permit for that.

        A paused provider gets no login either.
        """
        now = self.clock()
        if self.is_paused or self.breaker.half_open_for(now) < LOGIN_AFTER_SECONDS or self._is_probing():
            return False
        if not self.breaker.has_probe_permit(now):
            self.exchange.request_probe_permit(now)
        return self.breaker.has_probe_permit(now)

    def needs_bind(self) -> bool:
        """Return whether to bind for receipts, because no message does."""
        return not self.is_paused and self.state() is BreakerState.CLOSED and self.sessions.needs_bind()

    def remaining(self) -> timedelta:
        """Return how long it cannot take messages. A pause is checked again soon, because an operator may end it."""
        if self.is_paused:
            return timedelta(seconds=RECHECK_SECONDS)
        now = self.clock()
        match self.breaker.state(now):
            case BreakerState.OPEN:
                return self.breaker.remaining(now)
            case BreakerState.HALF_OPEN:
                return timedelta(seconds=RECHECK_SECONDS)
            case BreakerState.CLOSED:
                return timedelta(seconds=self.permits.wait(now))

    def blocked_by(self) -> str | None:
        """Return why this provider gets no messages, or None: a pause, an outage, or a rate limit.

        The rate limit counts if it was reached now or within the breaker's window.
        """
        if self.is_paused:
            return f"{self.name} is paused"
        now = self.clock()
        if self.breaker.state(now) is not BreakerState.CLOSED:
            return f"{self.name} is down"
        return f"{self.name} is at its rate" if self.permits.is_short(now, WINDOW_SECONDS) else None

    # Deliveries

    async def deliver(self, source: MessageSource) -> None:
        """Deliver the messages of the source through one of the sessions."""
        with self.worker():
            await self.sessions.deliver(source)

    async def log_in(self) -> None:
        """Probe with a login. A gateway without one counts as up, until the next message proves otherwise."""
        try:
            await self.deliver(NoMessages())
        except ProviderDownError as error:
            self.failed(error.failure)
        else:
            self._probe_succeeded(self.clock())
        finally:
            await self.sessions.close()

    async def bind(self) -> None:
        """Bind for receipts, and stay bound."""
        try:
            await self.deliver(NoMessages())
        except ProviderDownError as error:
            self.failed(error.failure)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Count a delivery worker that uses this provider.

        If the breaker is half open, mark the worker as the probing one; no other worker may start then.
        """
        is_probing = self.state() is BreakerState.HALF_OPEN
        self._has_probing_worker |= is_probing
        self.sessions.in_use += 1
        try:
            yield
        finally:
            self.sessions.in_use -= 1
            if is_probing:
                self._has_probing_worker = False

    def submitting(self, message_id: UUID) -> None:
        """Record that a message is being submitted; it costs a permit."""
        self.permits.spend(self.clock())
        if self.state() is BreakerState.HALF_OPEN:
            self._probe = message_id

    def finished(self, message_id: UUID) -> None:
        """Record that the result of a message is known."""
        if self._probe == message_id:
            self._probe = None

    def failed(self, failure: Failure) -> None:
        """Count a failure of the provider itself. Only the first failure of an outage is logged."""
        was_closed = self.state() is BreakerState.CLOSED
        self.last_failure = failure
        count_failure(failure, self.name)
        jitter = random.random()  # noqa: S311 - not a secret
        if self.breaker.failed(self.clock(), jitter=jitter, at_least=failure.retry_after or NOTHING):
            self.exchange.breaker_changed(BreakerState.OPEN)
            if was_closed:
                self._report_breaker(is_open=True, error=masked_error(failure.error))

    def succeeded(self) -> None:
        """Count a success."""
        self._last_success = self.clock()
        self._probe_succeeded(self._last_success)

    def _probe_succeeded(self, now: float) -> None:
        if self.breaker.succeeded(now):
            self.exchange.breaker_changed(BreakerState.CLOSED)
            self._report_breaker(is_open=False)

    # Exchange with the other relays

    def needs_sync(self) -> bool:
        """Return whether there is something to send or to request now."""
        return self.exchange.is_pending(self.clock())

    def is_quiet(self) -> bool:
        """Return whether the provider is idle: no busy session, recent success, open breaker or unused permit.

        A provider that needs a bind is not.
        """
        is_unused = not self.sessions.in_use and self.permits.tokens == 0
        is_rested = self.clock() - self._last_success > RECHECK_SECONDS
        return is_unused and is_rested and not self.breaker.consecutive_opens and not self.needs_bind()

    def take_update(self) -> ProviderStateUpdate | None:
        """Take what there is to send, or None."""
        return self.exchange.take_update(self.clock(), self.last_failure, is_probing=self._is_probing())

    def apply(self, update: ProviderStateUpdate | None, state: ProviderState | None) -> bool:
        """Apply the shared state, or act alone without one; return whether more may be sent now."""
        was_open = self.breaker.consecutive_opens > 0
        if state is None:
            has_more = self.exchange.apply_alone(self.clock(), update)
        else:
            has_more = self.exchange.apply(self.clock(), update, state)
        is_open = self.breaker.consecutive_opens > 0
        if was_open != is_open:
            self._report_breaker(is_open=is_open)
        # After a reload, the gauge still has the value of the last generation, so set it in any case.
        BREAKER_OPEN.labels(self.name).set(is_open)
        return has_more

    def _is_probing(self) -> bool:
        return self._has_probing_worker or self._probe is not None

    def _report_breaker(self, *, is_open: bool, error: str = "reported earlier, or by another relay") -> None:
        """Log the change, with the error if this relay has seen the failure."""
        if is_open:
            log.warning("provider down", provider=self.name, error=error)
        else:
            log.info("provider up again", provider=self.name)
        BREAKER_OPEN.labels(self.name).set(is_open)


class ProviderPool:
    """The providers of one channel, shared by its queue consumers.

    ``sync_requested`` is set when a provider has something to exchange with the other relays. ``pauses`` of
    ``channel`` pause all of its providers.
    """

    def __init__(
        self,
        providers: Sequence[CappedProvider],
        clock: Callable[[], float],
        connections: int = 1,
        sync_requested: asyncio.Event | None = None,
        *,
        channel: AnyChannel | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self.providers = [PooledProvider(provider, clock, connections) for provider in providers]
        self.channel = channel
        self._pauses = pauses or Pauses()
        self._pauses.subscribe(self._apply_pauses)
        self._clock = clock
        self._sync_requested = sync_requested or asyncio.Event()
        self._on_capacity: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self._waiting_consumers: Counter[object] = Counter()

    @property
    def connections(self) -> int:
        """How many messages may be in flight at once, at all providers together."""
        return sum(provider.sessions.connections for provider in self.providers)

    def subscribe(self, on_capacity: Callable[[], None]) -> None:
        """Register a callback for the moments when more messages may be claimed than before."""
        self._on_capacity.append(on_capacity)

    # Claiming

    def is_usable(self) -> bool:
        """Return whether any provider may be tried now."""
        return any(provider.is_usable() for provider in self.providers)

    def allowance(self, limit: int, waiting: int = 0) -> int:
        """Return how many of ``limit`` messages to claim now, in addition to the ``waiting`` ones."""
        offered = sum(provider.offer(limit + waiting) for provider in self.providers)
        self.sync_if_needed()
        return min(max(offered - waiting, 0), limit)

    def remaining(self) -> timedelta:
        """Return how long it takes until a provider may be tried."""
        return min(provider.remaining() for provider in self.providers)

    def first_back(self) -> PooledProvider:
        """Return the provider that may be tried first; a paused one only if all are paused."""
        return min(self.providers, key=lambda provider: (provider.is_paused, provider.remaining()))

    def blocked_by(self) -> list[str]:
        """Return why each provider is blocked, or an empty list if at least one is not."""
        found = [reason for provider in self.providers if (reason := provider.blocked_by())]
        return found if len(found) == len(self.providers) else []

    # Choosing

    def is_for(self, number: int, message: ClaimedMessage, first: int) -> bool:
        """Return whether provider ``number`` gets a message that the provider ``first`` and those after it may deliver.

        It does if it is the provider ``first``, if every provider between ``first`` and ``number`` is paused or down,
        or if the message has waited long enough.
        """
        if number <= first:
            return number == first
        is_late = self._clock() - message.enqueued_monotonic > FIRST_PROVIDER_WAIT.total_seconds()
        return is_late or all(provider.is_passed_over() for provider in self.providers[first:number])

    def has_usable_after(self, number: int) -> bool:
        """Return whether a provider after that one may be tried."""
        return any(provider.is_usable() for provider in self.providers[number + 1 :])

    def is_worth_waiting(self, first: int) -> bool:
        """Return whether a provider from ``first`` on will soon take another message."""
        return any(provider.may_admit_within(FIRST_PROVIDER_WAIT) for provider in self.providers[first:])

    # Waiting

    async def wait_for_change(self, consumer: object) -> None:
        """Wait until a session or a permit may be free, at most a second."""
        self.sync_if_needed()
        self._waiting_consumers[consumer] += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(RECHECK_SECONDS):
                    await self._changed.wait()
        finally:
            self._waiting_consumers[consumer] -= 1
            # Unary + drops zero counts, so that ``is_awaited``, which runs for each message, stays cheap.
            self._waiting_consumers = +self._waiting_consumers

    def is_awaited(self, besides: object) -> bool:
        """Return whether workers of another consumer wait for a session."""
        return bool(self._waiting_consumers) and any(each is not besides for each in self._waiting_consumers)

    def wake_workers(self) -> None:
        """Make all workers that wait for a session or a permit look again."""
        self._changed.set()
        self._changed.clear()

    def notify_capacity(self) -> None:
        """Notify the consumers that more messages may be sent than before, so that they claim again."""
        for callback in self._on_capacity:
            callback()

    def _apply_pauses(self) -> None:
        is_channel_paused = self.channel is not None and self._pauses.includes(PauseKind.CHANNEL, self.channel)
        for provider in self.providers:
            provider.is_paused = is_channel_paused or self._pauses.includes(PauseKind.PROVIDER, provider.name)
        self.wake_workers()
        self.notify_capacity()

    def sync_if_needed(self) -> None:
        """Request an exchange with the other relays, if a provider needs one."""
        if any(provider.needs_sync() for provider in self.providers):
            self._sync_requested.set()
