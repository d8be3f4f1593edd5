"""The way of one channel's messages of one urgency: claim → prepare → deliver → settle.

Each channel and urgency has a lane of its own, so that a backlog of one never delays the other. Lanes of
one channel share its ladder: what one of them learns of a provider, all of them know.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from outbox_relay.channels.base import Session
from outbox_relay.delivery.message_source import LocalQueue, MessagePreparer, ProviderMessageSource
from outbox_relay.model import RELEASED, ClaimedMessage, Dead, Outcome, Progress, QueueKey
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.settle import SettlementStore
from outbox_relay.outbox.settle_batcher import SettlementBatcher
from outbox_relay.outbox.settled_notifier import SettledNotifier
from outbox_relay.providers.pool import ProviderPool
from shared.vocabulary import DeadReason

LONGEST_CLAIM_SECONDS = 2.0
"""How long stopping waits for a claim that is on its way; without a database it would never end."""


class PendingClaims:
    """Tells whether a claim is on its way, as it is inside ``with``; what it brings is only known once it is back."""

    def __init__(self) -> None:
        self._is_clear = asyncio.Event()
        self._is_clear.set()

    def __enter__(self) -> None:
        self._is_clear.clear()

    def __exit__(self, *_: object) -> None:
        self._is_clear.set()

    async def clear(self) -> None:
        """Return once nothing is on its way."""
        await self._is_clear.wait()

    async def clear_soon(self) -> None:
        """Likewise, but wait no longer than stopping may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_CLAIM_SECONDS):
                await self.clear()


@dataclass(frozen=True)
class Outbox:
    """The two things the relay does to the table."""

    claims: ClaimStore
    settles: SettlementStore
    notifier: SettledNotifier
    on_dead: Callable[[], None]


@dataclass(frozen=True)
class ConsumerLimits:
    """How much a lane takes on: messages a claim, and connections to its provider."""

    batch_size: int
    connections: int


SHORTEST_ALARM = timedelta(seconds=0.05)
FARTHEST_ALARM = timedelta(minutes=1)
ALARM_MARGIN_SECONDS = 0.01

Stand = tuple[ProviderMessageSource, Session]  # a courier's place at one provider


class QueueConsumer:
    """Keeps one lane's messages moving while ``pump`` and the workers run; ``stop`` lets it run dry."""

    def __init__(
        self, key: QueueKey, outbox: Outbox, ladder: ProviderPool, preparation: MessagePreparer, limits: ConsumerLimits
    ) -> None:
        self.key = key
        self._claims = outbox.claims
        self._ladder = ladder
        self._limits = limits
        self._waiting = LocalQueue()
        self._preparation = preparation.looking_ahead(self._waiting.upcoming)
        self._settler = SettlementBatcher(
            outbox.settles, outbox.notifier, on_settled=self._on_settled, on_dead=outbox.on_dead
        )
        self._wake = asyncio.Event()
        self._settled_all = asyncio.Event()
        self._settled_all.set()
        self._claiming = PendingClaims()
        self._is_waiting_for_room = False
        self._is_stopping = False
        self._is_paused = False
        self._is_resting = False
        self._looks = 0
        self.has_looked = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        ladder.on_more.append(self.wake)

    @property
    def pulse(self) -> Progress:
        """What shows from outside whether the lane moves."""
        return Progress(self._settler.held, self._looks, self._settler.settled, self._is_stopping)

    @property
    def blocked_by(self) -> list[str]:
        """What keeps it from delivering, and is no fault of this relay's."""
        return self._ladder.blocked_by()

    def wake(self) -> None:
        """Look for due messages soon."""
        self._wake.set()

    def polled(self, *, is_due: bool) -> None:
        """Look for what may be due; to see that nothing is counts as a look, if the pump is there to be woken."""
        if is_due:
            self.wake()
        elif self._is_resting:
            self._looks += 1

    def workers(self) -> Iterator[Coroutine[None, None, None]]:
        """Yield what has to run beside ``pump``: the settler, and a courier per connection."""
        yield self._settler.run()
        for _ in range(self._limits.connections):
            yield self._courier()

    async def pump(self) -> None:
        """Claim whatever is due whenever there is room for it, until stopped."""
        while not self._is_stopping:
            self._wake.clear()
            limit = self._room()
            is_all = limit == 0 or await self._claim(limit) < limit
            self._looks += 1
            self.has_looked.set()
            if is_all:
                self._is_resting = True
                await self._wake.wait()
                self._is_resting = False

    async def drain(self) -> bool:
        """Claim and deliver until nothing is due or no provider can be tried; return whether anything was claimed."""
        has_claimed = False
        while self.is_healthy and not self._is_stopping and await self._claim_whatever_is_due():
            has_claimed = True
            await self._settled_all.wait()
        return has_claimed

    async def _claim_whatever_is_due(self) -> int:
        """Claim a batch; that there is none is believed of a sweep only."""
        claimed = await self._claim(self._limits.batch_size)
        if not claimed:
            self._claims.request_full_scan(self.key)
            claimed = await self._claim(self._limits.batch_size)
        return claimed

    async def stop(self) -> None:
        """Claim no more, hand back what no courier has taken, and wait until all else is settled."""
        self._is_stopping = True
        self.wake()
        self._hand_back(RELEASED)
        await self._claiming.clear_soon()
        await self._settled_all.wait()

    async def pause(self) -> None:
        """Claim nothing until resumed, hand back likewise, and wait until nothing is held."""
        self._is_paused = True
        self._hand_back(RELEASED)
        await self._claiming.clear()
        await self._settled_all.wait()

    def resume(self) -> None:
        """Claim again, also what was handed back."""
        self._is_paused = False
        self.wake()

    async def deliver_alone(self, suspect: ClaimedMessage) -> None:
        """Deliver a message that was claimed for a paused lane, or bury it, and wait until it is settled."""
        self._hold([suspect])
        if suspect.is_poison:
            self._hand_back(Dead(DeadReason.POISON))
        elif self._is_stopping:
            self._hand_back(RELEASED)
        await self._settled_all.wait()

    @property
    def is_healthy(self) -> bool:
        """Tell whether any provider of this channel may be tried."""
        return self._ladder.is_usable()

    async def _claim(self, limit: int) -> int:
        with self._claiming:
            claimed = await self._claims.claim(self.key, limit)
            self._hold(claimed)
        if self._is_stopping or self._is_paused:
            self._hand_back(RELEASED)
        return len(claimed)

    def _hold(self, claimed: Sequence[ClaimedMessage]) -> None:
        unsent = self._settler.hold(claimed)
        if unsent:
            self._settled_all.clear()
            self._waiting.add(unsent)

    def _room(self) -> int:
        """Return how many messages to claim: a batch while no more than one is held, or as many as the ladder allows.

        Where there is no room, something is set to wake the pump when there will be.
        """
        if self._is_paused:
            return 0
        is_full = self._settler.held > self._limits.batch_size
        allowance = 0 if is_full else self._ladder.allowance(self._limits.batch_size, len(self._waiting))
        self._is_waiting_for_room = not allowance
        if not (is_full or allowance):
            self._look_again_after(self._ladder.remaining())
        return allowance

    def _look_again_after(self, delay: timedelta) -> None:
        """Wake the pump when a provider may take more; only the last of such alarms rings."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._wake_after(max(delay, SHORTEST_ALARM))

    def _wake_after(self, delay: timedelta) -> asyncio.TimerHandle:
        # The timer keeps a reference to the event only, not to a lane that has ended.
        return asyncio.get_running_loop().call_later(delay.total_seconds() + ALARM_MARGIN_SECONDS, self._wake.set)

    def _on_settled(self, soonest: timedelta | None) -> None:
        if self._settler.held == 0:
            self._settled_all.set()
        if self._is_waiting_for_room:
            self.wake()
        if soonest == RELEASED.delay:
            self._claims.request_full_scan(self.key)
        if soonest is not None and soonest < FARTHEST_ALARM:  # what is further away the poll will find
            self._wake_after(soonest)

    async def _courier(self) -> None:
        stands = [self._stand(number) for number in range(len(self._ladder.rungs))]
        try:
            while True:
                await self._waiting.some()
                await self._carry(stands)
        finally:
            await asyncio.gather(*(session.close() for _, session in stands))

    def _stand(self, number: int) -> Stand:
        tray = ProviderMessageSource(number, self._ladder, self._waiting, self._preparation, self._settler.put)
        return tray, tray.rung.session()

    async def _carry(self, stands: list[Stand]) -> None:
        """Go to the providers that letters are for; where none takes one, wait for the caps or hand back."""
        for tray, session in stands:
            if tray.is_wanted():
                await tray.visit(session)
        if not self._waiting or any(tray.is_wanted() for tray, _ in stands):
            return
        if self._ladder.is_worth_waiting(self._waiting.first_rung()):
            await self._ladder.until_change(self._waiting)
        else:
            self._hand_back(self._ladder.deferral())

    def _hand_back(self, outcome: Outcome) -> None:
        while message := self._waiting.next():
            self._settler.put(message, outcome)
