"""A channel's providers in order, each behind its breaker: the first that is not down is used."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from outbox_relay.breaker import NOTHING, Breaker
from outbox_relay.channels.base import Provider
from outbox_relay.metrics import BREAKER_OPEN
from outbox_relay.outcomes import Deferred, Failure
from shared.log import get_logger

HEALTHY_SECONDS = 30.0
SHORTEST_DEFERRAL = timedelta(seconds=1)

log = get_logger("relay.ladder")


@dataclass
class Rung:
    """One provider and what is known of how it does."""

    provider: Provider
    clock: Callable[[], float]
    breaker: Breaker = field(default_factory=Breaker)
    last_failure: Failure | None = None
    last_success: float = float("-inf")

    def is_usable(self) -> bool:
        """Tell whether letters may be handed to it now."""
        return not self.breaker.is_open(self.clock())

    def admits(self) -> bool:
        """Tell whether another courier may go there now."""
        return self.breaker.admits(self.clock())

    def is_healthy(self) -> bool:
        """Tell whether it has taken a letter just now, and so what it refuses is the letter's own affair."""
        return self.clock() - self.last_success < HEALTHY_SECONDS

    def remaining(self) -> timedelta:
        """Return how long it is still to be left alone."""
        return self.breaker.remaining(self.clock())

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Be there; while it is half open, others keep away meanwhile."""
        is_probe = bool(self.breaker.failures)
        self.breaker.is_probing |= is_probe
        try:
            yield
        finally:
            if is_probe:
                self.breaker.is_probing = False

    def failed(self, failure: Failure) -> None:
        """Leave it alone for a while, or for as long as it asked; said once per outage."""
        if not self.breaker.failures:
            log.warning("provider down", provider=self.provider.name)
        self.last_failure = failure
        dice = random.random()  # noqa: S311 - jitter, not a secret
        self.breaker.failed(self.clock(), dice=dice, at_least=failure.retry_after or NOTHING)
        BREAKER_OPEN.labels(self.provider.name).set(1)

    def succeeded(self) -> None:
        """Trust it again."""
        self.last_success = self.clock()
        if self.breaker.failures:
            log.info("provider up again", provider=self.provider.name)
            self.breaker.succeeded()
            BREAKER_OPEN.labels(self.provider.name).set(0)


class Ladder:
    """The rungs of one channel."""

    def __init__(self, providers: Sequence[Provider], clock: Callable[[], float]) -> None:
        self.rungs = [Rung(provider, clock) for provider in providers]
        self._clock = clock
        for provider in providers:
            BREAKER_OPEN.labels(provider.name).set(0)

    def is_usable(self) -> bool:
        """Tell whether any provider may be tried now."""
        return any(rung.is_usable() for rung in self.rungs)

    def allowance(self, limit: int) -> int:
        """Return how many of ``limit`` messages are worth claiming now."""
        now = self._clock()
        return max(rung.breaker.allowance(now, limit) for rung in self.rungs)

    def remaining(self) -> timedelta:
        """Return how long it takes until a provider may be tried."""
        return min(rung.remaining() for rung in self.rungs)

    def deferral(self) -> Deferred:
        """Return the outcome of a message that no provider could be tried with."""
        first_back = min(self.rungs, key=Rung.remaining)
        return Deferred(max(first_back.remaining(), SHORTEST_DEFERRAL), first_back.last_failure)
