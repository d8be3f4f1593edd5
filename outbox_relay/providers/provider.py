"""One provider of a ladder: whether it may be given letters now, and what this relay tells the fleet of it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from outbox_relay.channels.base import CappedProvider, Session, SharedSession
from outbox_relay.metrics import BREAKER_OPEN, RATE_WAIT, count_failure, know_provider
from outbox_relay.model import Failure
from outbox_relay.providers.circuit_breaker import NOTHING, WINDOW_SECONDS, BreakerState, CircuitBreaker
from outbox_relay.providers.rate_limiter import PermitCache
from shared.log import get_logger


@dataclass(frozen=True, slots=True)
class ProviderStateUpdate:
    """What a relay tells and asks: a change of its breaker, tokens to draw and to give back, leave to probe.

    ``open_for`` is in seconds from now on: no two clocks are ever compared.
    """

    news: BreakerState | None
    openings: int
    open_for: float
    failure_class: str | None
    wanted: int
    returned: int
    wants_probe_permit: bool


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What the row answers: how the breaker stands for all, and what this relay may do. Times are in seconds."""

    openings: int
    open_for: float
    has_probe_permit: bool = False
    granted: int = 0
    token_in: float = 0.0


LOOK_AGAIN_SECONDS = 1.0
PROBE_PERMIT_SECONDS = 5.0
"""How long the leave to probe is kept from other relays; renewed while a probe is under way."""

log = get_logger("relay.ladder")


class PooledProvider:
    """What is known of a provider here, and its sessions, of which there are never more than ``connections``."""

    def __init__(self, capped: CappedProvider, clock: Callable[[], float], connections: int) -> None:
        self.provider = capped.provider
        self.rate = capped.caps.rate
        self.connections = capped.caps.connections or connections
        self.clock = clock
        self.breaker = CircuitBreaker()
        self.last_failure: Failure | None = None
        self._last_success = float("-inf")
        self._idle: list[Session] = []
        self._visitors = 0
        self._has_prober = False
        self._probe: UUID | None = None
        self._purse = PermitCache(self.rate, clock())
        self._news: BreakerState | None = None
        self._wants_leave = False
        self._refused_until = float("-inf")
        know_provider(self.provider.name)
        if self.rate:
            RATE_WAIT.labels(self.provider.name).set_function(lambda: self._purse.wait(clock()))

    # What may be done with it now.

    def condition(self) -> BreakerState:
        """Return how its breaker stands."""
        return self.breaker.condition(self.clock())

    def is_usable(self) -> bool:
        """Tell whether letters may be handed to it now, or may be soon."""
        return self.condition() is not BreakerState.OPEN

    def is_healthy(self) -> bool:
        """Tell whether it has taken a letter just now, and so what it refuses is the letter's own affair."""
        return self.clock() - self._last_success < WINDOW_SECONDS

    def offer(self, limit: int) -> int:
        """Return how many of ``limit`` letters it may be given now; what keeps the rest is asked of the fleet."""
        now = self.clock()
        match self.breaker.condition(now):
            case BreakerState.CLOSED:
                return self._purse.affordable(limit, now)
            case BreakerState.HALF_OPEN if self.breaker.has_probe_permit(now):
                return self._purse.affordable(0 if self._is_probed() else 1, now)
            case BreakerState.HALF_OPEN:
                self._wants_leave = now >= self._refused_until
                return 0
            case BreakerState.OPEN:
                return 0

    def admits(self) -> bool:
        """Tell whether another courier may go there now, and begin with a letter."""
        return self._visitors < self.connections and self.offer(1) > 0

    def may_take(self) -> bool:
        """Tell whether a courier who is there may take another letter: any while closed, one while half open."""
        now = self.clock()
        match self.breaker.condition(now):
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN if self._probe is not None or not self.breaker.has_probe_permit(now):
                return False
            case _:
                return self._purse.affordable(1, now) > 0

    def may_admit_within(self, patience: timedelta) -> bool:
        """Tell whether it is worth waiting for: what it lacks is a place, a token soon, or an answer of the fleet."""
        now = self.clock()
        match self.breaker.condition(now):
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                return self.breaker.has_probe_permit(now) or now >= self._refused_until
            case BreakerState.CLOSED:
                return self._purse.wait(now) <= patience.total_seconds()

    def remaining(self) -> timedelta:
        """Return how long it is still to be left alone."""
        now = self.clock()
        match self.breaker.condition(now):
            case BreakerState.OPEN:
                return self.breaker.remaining(now)
            case BreakerState.HALF_OPEN:
                return timedelta(seconds=LOOK_AGAIN_SECONDS)
            case BreakerState.CLOSED:
                return timedelta(seconds=self._purse.wait(now))

    def blocked_by(self) -> str | None:
        """Say what keeps letters from it, or has done so within the breaker's window: an outage, or its rate."""
        now = self.clock()
        if self.breaker.condition(now) is not BreakerState.CLOSED:
            return f"{self.provider.name} is down"
        return f"{self.provider.name} is at its rate" if self._purse.is_short(now, WINDOW_SECONDS) else None

    # What happens there.

    def session(self) -> SharedSession:
        """Make a courier's access to its sessions."""
        return SharedSession(self._idle, self.provider)

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Be there; while it is half open, others keep away meanwhile."""
        is_prober = self.condition() is BreakerState.HALF_OPEN
        self._visitors += 1
        self._has_prober |= is_prober
        try:
            yield
        finally:
            self._visitors -= 1
            if is_prober:
                self._has_prober = False

    def took(self, message_id: UUID) -> None:
        """Note that a letter is being handed over; it costs a token."""
        self._purse.spend(self.clock())
        if self.condition() is BreakerState.HALF_OPEN:
            self._probe = message_id

    def finished(self, message_id: UUID) -> None:
        """Note that a letter's fate is known."""
        if self._probe is not None and self._probe == message_id:
            self._probe = None

    def failed(self, failure: Failure) -> None:
        """Count a failure of the provider's own; an outage that begins with it is said once."""
        was_closed = self.condition() is BreakerState.CLOSED
        self.last_failure = failure
        count_failure(failure, self.provider.name)
        jitter = random.random()  # noqa: S311 - jitter, not a secret
        if self.breaker.failed(self.clock(), jitter=jitter, at_least=failure.retry_after or NOTHING):
            self._news = BreakerState.OPEN
            if was_closed:
                self._tell_down()

    def succeeded(self) -> None:
        """Trust it the more."""
        self._last_success = self.clock()
        if self.breaker.succeeded(self._last_success):
            self._news = BreakerState.CLOSED
            self._tell_up()

    # What passes between it and the fleet.

    def is_asking(self) -> bool:
        """Tell whether the fleet should hear or answer something now."""
        return self._news is not None or self._wants_leave or self._purse.is_wanting(self.clock())

    def is_quiet(self) -> bool:
        """Tell whether nothing goes there, nothing is wrong with it and no token of it lies here."""
        is_unused = not self._visitors and self._purse.tokens == 0
        return is_unused and self.clock() - self._last_success > LOOK_AGAIN_SECONDS and not self.breaker.openings

    def report(self) -> ProviderStateUpdate | None:
        """Take what there is to tell and to ask, or None; the tokens in hand go back with it."""
        now = self.clock()
        renews = self._is_probed() and self.condition() is BreakerState.HALF_OPEN
        if not (self.is_asking() or self._purse.has_leftovers(now) or renews):
            return None
        wanted, returned = self._purse.empty(now)
        failure_class = self.last_failure.kind.value if self.last_failure else None
        report = ProviderStateUpdate(
            news=self._news,
            openings=self.breaker.openings,
            open_for=self.breaker.remaining(now).total_seconds(),
            failure_class=failure_class if self._news is BreakerState.OPEN else None,
            wanted=wanted,
            returned=returned,
            wants_probe_permit=self._wants_leave or renews,
        )
        self._news, self._wants_leave = None, False
        return report

    def learn(self, report: ProviderStateUpdate | None, standing: ProviderState) -> bool:
        """Stand as the fleet does, unless there is newer news from here; return whether more may be done now."""
        now, before = self.clock(), self.condition()
        if self._news is None:
            self._adopt(now, standing)
        if report is None:
            return before is not self.condition()
        if report.wants_probe_permit and not standing.has_probe_permit:
            self._refused_until = now + LOOK_AGAIN_SECONDS
        if standing.has_probe_permit:
            self.breaker.probe_permit_until = now + PROBE_PERMIT_SECONDS
        if report.wanted:
            self._purse.fill(standing.granted, report.wanted, standing.token_in, now)
        return standing.has_probe_permit or standing.granted > 0 or before is not self.condition()

    def go_on_alone(self, report: ProviderStateUpdate | None) -> bool:
        """Do as if it were the only relay, since the fleet cannot be asked; return whether more may be done now."""
        if report is None:
            return False
        now = self.clock()
        self._news = self._news or report.news
        if report.wants_probe_permit:
            self.breaker.probe_permit_until = now + PROBE_PERMIT_SECONDS
        if report.wanted:
            self._purse.fill_alone(report.wanted, now)
        return True

    def _adopt(self, now: float, standing: ProviderState) -> None:
        was_open = self.breaker.openings > 0
        self.breaker.adopt(now, standing.openings, standing.open_for)
        if was_open != (standing.openings > 0):
            (self._tell_up if was_open else self._tell_down)()

    def _is_probed(self) -> bool:
        return self._has_prober or self._probe is not None

    def _tell_down(self) -> None:
        log.warning("provider down", provider=self.provider.name)
        BREAKER_OPEN.labels(self.provider.name).set(1)

    def _tell_up(self) -> None:
        log.info("provider up again", provider=self.provider.name)
        BREAKER_OPEN.labels(self.provider.name).set(0)
