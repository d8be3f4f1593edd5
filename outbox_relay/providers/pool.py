"""A channel's providers in order of preference; the first one that can take a message gets it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from outbox_relay.channels.base import CappedProvider
from outbox_relay.model import ClaimedMessage
from outbox_relay.providers.circuit_breaker import BreakerState
from outbox_relay.providers.provider import RECHECK_SECONDS, PooledProvider

FIRST_PROVIDER_WAIT = timedelta(seconds=5)
"""A message younger than this waits for a free session or a permit of the preferred provider: a rate limit is no
outage, and the next provider may cost more or have a worse reputation. An older message fails over at once."""


class ProviderPool:
    """The providers of one channel, shared by its queue consumers.

    ``sync_requested`` is set when a provider has something to exchange with the other relays.
    """

    def __init__(
        self,
        providers: Sequence[CappedProvider],
        clock: Callable[[], float],
        connections: int = 1,
        sync_requested: asyncio.Event | None = None,
    ) -> None:
        self.providers = [PooledProvider(provider, clock, connections) for provider in providers]
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
        """Call this whenever more messages may be claimed than before."""
        self._on_capacity.append(on_capacity)

    # Claiming

    def is_usable(self) -> bool:
        """Return whether any provider may be tried now."""
        return any(provider.is_usable() for provider in self.providers)

    def allowance(self, limit: int, waiting: int = 0) -> int:
        """Return how many of ``limit`` messages to claim now, on top of those that are waiting already."""
        offered = sum(provider.offer(limit + waiting) for provider in self.providers)
        self.sync_if_needed()
        return min(max(offered - waiting, 0), limit)

    def remaining(self) -> timedelta:
        """Return how long it takes until a provider may be tried."""
        return min(provider.remaining() for provider in self.providers)

    def first_back(self) -> PooledProvider:
        """Return the provider that may be tried first."""
        return min(self.providers, key=PooledProvider.remaining)

    def blocked_by(self) -> list[str]:
        """Return what keeps messages from each of the providers; empty if one of them is free."""
        found = [reason for provider in self.providers if (reason := provider.blocked_by())]
        return found if len(found) == len(self.providers) else []

    # Choosing

    def is_for(self, number: int, message: ClaimedMessage, first: int) -> bool:
        """Return whether provider ``number`` gets a message that may go to the providers from ``first`` on.

        It does when each preferred provider is down, or when the message has waited for them long enough.
        """
        if number <= first:
            return number == first
        is_late = self._clock() - message.enqueued_monotonic > FIRST_PROVIDER_WAIT.total_seconds()
        return is_late or all(provider.state() is not BreakerState.CLOSED for provider in self.providers[first:number])

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
            self._waiting_consumers = +self._waiting_consumers  # is_awaited is called for each message

    def is_awaited(self, besides: object) -> bool:
        """Return whether workers of another consumer wait for a session."""
        return bool(self._waiting_consumers) and any(each is not besides for each in self._waiting_consumers)

    def wake_workers(self) -> None:
        """Make all workers that wait for a session or a permit look again."""
        self._changed.set()
        self._changed.clear()

    def notify_capacity(self) -> None:
        """Tell the consumers to claim again: more messages may be sent than before."""
        for callback in self._on_capacity:
            callback()

    def sync_if_needed(self) -> None:
        """Request an exchange with the other relays, if a provider needs one."""
        if any(provider.needs_sync() for provider in self.providers):
            self._sync_requested.set()
