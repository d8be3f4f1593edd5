"""Consumes one queue: claims its due messages, has them delivered, and settles them.

There is one queue for each channel and priority, so that a backlog of one never delays another. The consumers of a
channel share its provider pool, so the state of a provider applies to all of them.

Why a due message may wait, and for how long:

1. The wake-up was lost, or a pooler drops notifications: until the next poll (RELAY_POLL_SECONDS).
2. Low priority wakes later: ``relay.LOW_PRIORITY_WAKE_SECONDS``. It also gets only half of the connections.
3. It was committed late or released behind the scan cursor: until a full scan (``claim.FULL_SCAN_SECONDS``, after a
   long scan at most ``claim.LONGEST_REST_SECONDS``).
4. Another relay has leased it, or ended without settling it: until the lease ends (RELAY_LEASE_SECONDS).
5. It has lost two leases and is a suspect: until the next round (``poison_isolation.REST_IN_ROUNDS``).
6. A round for suspects pauses all consumers: up to ``poison_isolation.LONGEST_BACKOFF_SECONDS`` for deliveries in
   flight to end, then ``poison_isolation.ROUND_SECONDS`` and ``poison_isolation.ALONE_SECONDS``.
7. This consumer holds more than a batch (RELAY_BATCH_SIZE): until messages are settled.
8. All sessions of the provider are in use: ``message_source.SHARE_SECONDS`` and the deliveries in flight.
9. The rate limit of the provider is used up: until a permit is granted (``rate_limiter.DRAW_PAUSE_SECONDS`` to
   ``rate_limiter.LONGEST_DRAW_PAUSE_SECONDS``). After ``pool.FIRST_PROVIDER_WAIT`` the next provider may take it.
10. The circuit breaker of each provider is open: nothing is claimed until the first of them is half open
    (``circuit_breaker.FIRST_PAUSE_SECONDS`` to ``circuit_breaker.LONGEST_PAUSE_SECONDS``, or Retry-After).
11. An operator has paused its template, its channel, or each provider: until the pause ends
    (``outbox_relay.pauses``). A relay notices that within a second, or at its next poll if no notification reaches it.
12. A breaker is half open, and another relay probes (``pool.PROBE_PERMIT_SECONDS``): this relay checks again every
    ``pool.RECHECK_SECONDS``.
13. Its template or locale is unknown to this release: until a relay of a newer release claims it.
14. The database is unreachable: ``shared.db.errors.LONGEST_PAUSE_SECONDS`` between tries.
15. Other messages are rendered in advance: ``message_source.LONGEST_AHEAD_SECONDS``.
16. No running relay has a provider for its channel: until a relay starts or reloads with one (EMAIL_PROVIDERS,
    SMS_PROVIDERS, PROVISION_DATABASE_URL).
17. Another transaction, such as an operator's action, locks its row, and claims skip it (``for update skip locked``)
    until the first full scan after that transaction at the latest.

A deferred message is not due, and so not in this list: see ``deferral.PROVIDER_PAUSE``, ``deferral.KEY_PAUSE`` and
``deferral.SHORTEST_DEFERRAL``.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta

from outbox_relay.delivery.deferral import RELEASED, until_provider_is_back
from outbox_relay.delivery.message_source import LocalQueue, MessagePreparer, ProviderMessageSource, Render
from outbox_relay.delivery.suppressions import Suppressions
from outbox_relay.model import ClaimedMessage, Dead, Outcome, Progress, QueueKey
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.settle import SettlementBatcher, SettlementStore
from outbox_relay.pauses import Pauses
from outbox_relay.providers.pool import ProviderPool
from shared.vocabulary import DeadReason

LONGEST_CLAIM_SECONDS = 2.0
"""How long ``stop`` waits for a claim in flight. While the database is unreachable, the claim would never end."""

SHORTEST_TIMER = timedelta(seconds=0.05)
LONGEST_TIMER = timedelta(minutes=1)
TIMER_MARGIN_SECONDS = 0.01


class PendingClaims:
    """Tracks whether a claim is in flight; enter it with ``with`` during a claim.

    Only after the claim returns is it known which messages it has leased.
    """

    def __init__(self) -> None:
        self._is_clear = asyncio.Event()
        self._is_clear.set()

    def __enter__(self) -> None:
        self._is_clear.clear()

    def __exit__(self, *_: object) -> None:
        self._is_clear.set()

    async def wait(self, within: float | None = None) -> None:
        """Return once no claim is in flight, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._is_clear.wait()


class QueueConsumer:
    """Keeps one queue moving while ``fetch`` and the workers run; ``stop`` makes it finish."""

    def __init__(
        self,
        key: QueueKey,
        *,
        claims: ClaimStore,
        settlements: SettlementStore,
        pool: ProviderPool,
        render: Render,
        reported_keys: set[str],
        longest_hold: timedelta,
        batch_size: int,
        connections: int,
        on_dead: Callable[[], None],
        pauses: Pauses,
        suppressions: Suppressions,
    ) -> None:
        self.key = key
        self._suppressions = suppressions
        self._pauses = pauses
        self._claims = claims
        self._pool = pool
        self._batch_size = batch_size
        self._connections = connections
        self._queue = LocalQueue()
        self._preparer = MessagePreparer(render, self._queue.upcoming, longest_hold, reported_keys, pauses)
        self._batcher = SettlementBatcher(settlements, on_settled=self._on_settled, on_dead=on_dead)
        self._wake = asyncio.Event()
        self._settled_all = asyncio.Event()
        self._settled_all.set()
        self._pending_claims = PendingClaims()
        self._is_waiting_for_room = False
        self._is_stopping = False
        self._is_paused = False
        self._is_idle = False
        self._looks = 0
        self.has_looked = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        pool.subscribe(self.wake)
        pauses.subscribe(self._pauses_changed)

    @property
    def progress(self) -> Progress:
        """The state of this consumer for the stall detector."""
        return Progress(self._batcher.held, self._looks, self._batcher.settled, self._is_stopping)

    @property
    def blocked_by(self) -> list[str]:
        """The reasons outside this relay that block its deliveries."""
        paused = self._pauses.paused_templates(self.key.priority)
        return [*self._pool.blocked_by(), *(f"template {name} is paused" for name in paused)]

    @property
    def is_usable(self) -> bool:
        """Whether any provider of this channel may be tried."""
        return self._pool.is_usable()

    def wake(self) -> None:
        """Look for due messages soon."""
        self._wake.set()

    def polled(self, *, is_due: bool) -> None:
        """Wake the fetch loop if the poller has seen due messages.

        Otherwise, if the fetch loop is idle, count this poll as one of its looks, so that the stall detector sees
        progress.
        """
        if is_due:
            self.wake()
        elif self._is_idle:
            self._looks += 1

    def workers(self) -> Iterator[Coroutine[None, None, None]]:
        """Yield the coroutines to run in parallel with ``fetch``: the settlement batcher, one worker per connection."""
        yield self._batcher.run()
        for _ in range(self._connections):
            yield self._deliver()

    async def fetch(self) -> None:
        """Claim due messages whenever there is room for them, until stopped."""
        while not self._is_stopping:
            self._wake.clear()
            limit = self._room()
            must_wait = limit == 0 or await self._claim(limit) < limit
            self._looks += 1
            self.has_looked.set()
            if must_wait:
                self._is_idle = True
                await self._wake.wait()
                self._is_idle = False

    async def drain(self) -> bool:
        """Claim and deliver until no message is due or no provider can be tried; return whether any was claimed."""
        has_claimed = False
        while self.is_usable and not self._is_stopping and await self._claim_thoroughly():
            has_claimed = True
            await self._settled_all.wait()
        return has_claimed

    async def stop(self) -> None:
        """Claim no more, release what no worker has taken, and wait until all else is settled."""
        self._is_stopping = True
        self.wake()
        self._settle_waiting(RELEASED)
        await self._pending_claims.wait(LONGEST_CLAIM_SECONDS)
        await self._settled_all.wait()

    async def pause(self) -> None:
        """Stop claims until resumed, release the messages that wait for a worker, and wait until no message is held."""
        self._is_paused = True
        self._settle_waiting(RELEASED)
        await self._pending_claims.wait()
        await self._settled_all.wait()

    def resume(self) -> None:
        """Claim again, including the messages released by ``pause``."""
        self._is_paused = False
        self.wake()

    async def deliver_alone(self, suspect: ClaimedMessage) -> None:
        """Deliver a suspect while this consumer is paused, or settle it as poison. Return when it is settled."""
        await self._hold([suspect])
        if suspect.is_poison:
            self._settle_waiting(Dead(DeadReason.POISON))
        elif self._is_stopping:
            self._settle_waiting(RELEASED)
        await self._settled_all.wait()

    async def _claim(self, limit: int) -> int:
        with self._pending_claims:
            claimed = await self._claims.claim(self.key, limit)
            await self._hold(claimed)
        if self._is_stopping or self._is_paused:
            self._settle_waiting(RELEASED)
        return len(claimed)

    async def _claim_thoroughly(self) -> int:
        """Claim a batch. If it is empty, claim again with a full scan before reporting that no message is due."""
        claimed = await self._claim(self._batch_size)
        if not claimed:
            self._claims.request_full_scan(self.key)
            claimed = await self._claim(self._batch_size)
        return claimed

    async def _hold(self, claimed: Sequence[ClaimedMessage]) -> None:
        """Queue claimed messages for the workers, except those to suppressed addresses."""
        suppressed = await self._suppressions.among(claimed)
        unsent = self._batcher.hold(claimed)
        if unsent:
            self._settled_all.clear()
            self._queue.add([message for message in unsent if message.id not in suppressed])
            for message in unsent:
                if message.id in suppressed:
                    self._batcher.put(message, Dead(DeadReason.SUPPRESSED))

    def _room(self) -> int:
        """Return how many messages to claim: at most a batch, and only as many as the providers allow.

        Return 0 while more than a batch is held; then a settlement wakes the fetch loop. Return 0 also while the
        providers allow no message; then a timer, a settlement or the pool wakes it.
        """
        if self._is_paused:
            return 0
        is_full = self._batcher.held > self._batch_size
        allowance = 0 if is_full else self._pool.allowance(self._batch_size, len(self._queue))
        self._is_waiting_for_room = not allowance
        if not (is_full or allowance):
            if self._timer:
                self._timer.cancel()
            self._timer = self._wake_after(max(self._pool.remaining(), SHORTEST_TIMER))
        return allowance

    def _wake_after(self, delay: timedelta) -> asyncio.TimerHandle:
        # The timer refers only to the event, so that it does not keep an ended consumer in memory.
        return asyncio.get_running_loop().call_later(delay.total_seconds() + TIMER_MARGIN_SECONDS, self._wake.set)

    def _pauses_changed(self) -> None:
        """Look for all due messages: those of a paused template may lie behind the scan cursor."""
        self._claims.request_full_scan(self.key)
        self.wake()

    def _on_settled(self, soonest: timedelta | None) -> None:
        """Claim again. ``soonest`` is the shortest time until one of the settled messages is due again, if any is."""
        if self._batcher.held == 0:
            self._settled_all.set()
        if self._is_waiting_for_room:
            self.wake()
        if soonest == RELEASED.delay:
            self._claims.request_full_scan(self.key)
        if soonest is not None and soonest < LONGEST_TIMER:  # later messages are found by the poller
            self._wake_after(soonest)

    async def _deliver(self) -> None:
        """Work as one delivery worker, until cancelled."""
        sources = [
            ProviderMessageSource(
                number, pool=self._pool, queue=self._queue, preparer=self._preparer, put=self._batcher.put
            )
            for number in range(len(self._pool.providers))
        ]
        try:
            while True:
                await self._queue.wait_for_message()
                await self._deliver_round(sources)
        finally:
            await asyncio.gather(*(provider.sessions.close() for provider in self._pool.providers))

    async def _deliver_round(self, sources: Sequence[ProviderMessageSource]) -> None:
        """Deliver through each provider that has work. If no provider can take a message, wait for one or defer."""
        for source in sources:
            if source.has_work():
                await source.deliver()
        if not self._queue or any(source.has_work() for source in sources):
            return
        if self._pool.is_worth_waiting(self._queue.first_provider()):
            await self._pool.wait_for_change(self._queue)
        else:
            provider = self._pool.first_back()
            deferral = until_provider_is_back(provider.remaining(), provider.last_failure)
            self._settle_waiting(RELEASED if provider.is_paused else deferral)

    def _settle_waiting(self, outcome: Outcome) -> None:
        while message := self._queue.next():
            self._batcher.put(message, outcome)
