"""A channel's providers in order, each behind its breaker and its caps: the first that can is used."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from outbox_relay.channels.base import CappedProvider
from outbox_relay.model import ClaimedMessage, Deferred
from outbox_relay.providers.circuit_breaker import BreakerState
from outbox_relay.providers.provider import LOOK_AGAIN_SECONDS, PooledProvider

SHORTEST_DEFERRAL = timedelta(seconds=1)
PATIENCE = timedelta(seconds=5)
"""How old a message may grow while it waits for a place or a token at the first provider: a cap reached
is no outage, and the second may cost more or have the worse name. Whoever is late already does not wait."""


class ProviderPool:
    """The rungs of one channel. ``on_more`` are called when more letters may be claimed than before."""

    def __init__(self, providers: Sequence[CappedProvider], clock: Callable[[], float], connections: int = 1) -> None:
        self.rungs = [PooledProvider(provider, clock, connections) for provider in providers]
        self.on_more: list[Callable[[], None]] = []
        self.ask: Callable[[], None] = _nobody_to_ask
        self._clock = clock
        self._changed = asyncio.Event()
        self._awaited_by: Counter[object] = Counter()

    @property
    def connections(self) -> int:
        """How many letters may be under way at once, at all providers together."""
        return sum(rung.connections for rung in self.rungs)

    def is_usable(self) -> bool:
        """Tell whether any provider may be tried now."""
        return any(rung.is_usable() for rung in self.rungs)

    def allowance(self, limit: int, waiting: int = 0) -> int:
        """Return how many of ``limit`` messages are worth claiming now, beside those that wait already."""
        offered = sum(rung.offer(limit + waiting) for rung in self.rungs)
        self.ask_if_needed()
        return min(max(offered - waiting, 0), limit)

    def ask_if_needed(self) -> None:
        """Have the fleet asked soon, if a rung has something to tell or to ask."""
        if any(rung.is_asking() for rung in self.rungs):
            self.ask()

    def remaining(self) -> timedelta:
        """Return how long it takes until a provider may be tried."""
        return min(rung.remaining() for rung in self.rungs)

    def deferral(self) -> Deferred:
        """Return the outcome of a message that no provider could be tried with."""
        first_back = min(self.rungs, key=PooledProvider.remaining)
        return Deferred(max(first_back.remaining(), SHORTEST_DEFERRAL), first_back.last_failure)

    def is_for(self, number: int, message: ClaimedMessage, first: int) -> bool:
        """Tell whether a message that may go to the rungs from ``first`` on is for that one now.

        It is when none above is there to wait for, or when the message has waited long enough.
        """
        if number <= first:
            return number == first
        is_late = self._clock() - message.enqueued_monotonic > PATIENCE.total_seconds()
        return is_late or all(rung.condition() is not BreakerState.CLOSED for rung in self.rungs[first:number])

    def blocked_by(self) -> list[str]:
        """Say what keeps letters from each of the providers; nothing, if one of them is free."""
        found = [blocked_by for rung in self.rungs if (blocked_by := rung.blocked_by())]
        return found if len(found) == len(self.rungs) else []

    def has_usable_beyond(self, number: int) -> bool:
        """Tell whether a rung below that one may be tried."""
        return any(rung.is_usable() for rung in self.rungs[number + 1 :])

    def is_worth_waiting(self, first: int) -> bool:
        """Tell whether a rung from ``first`` on will soon take another letter."""
        return any(rung.may_admit_within(PATIENCE) for rung in self.rungs[first:])

    async def until_change(self, lane: object) -> None:
        """Wait until a place or a token may have come free, or for a second."""
        self.ask_if_needed()
        self._awaited_by[lane] += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._changed.wait()
        finally:
            self._awaited_by[lane] -= 1
            self._awaited_by = +self._awaited_by  # whoever hands letters over asks for each whether anybody waits

    def is_awaited(self, besides: object) -> bool:
        """Tell whether couriers of another lane wait for a place."""
        return bool(self._awaited_by) and any(lane is not besides for lane in self._awaited_by)

    def wake_couriers(self) -> None:
        """Let all who wait for a place or a token look again."""
        self._changed.set()
        self._changed.clear()

    def wake_lanes(self) -> None:
        """Let the lanes claim again: more letters may go than before."""
        for callback in self.on_more:
            callback()


def _nobody_to_ask() -> None:
    """Do nothing: this relay is not part of a fleet yet."""
