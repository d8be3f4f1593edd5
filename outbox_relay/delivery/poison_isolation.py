"""Poison isolation: suspects are delivered one at a time, while this process holds no other message.

A message that has lost two leases without an outcome is a *suspect*: it may crash the process that delivers it. Any
other message of the same batch may also be the cause. A suspect is delivered alone, so that a crash affects no other
message. After five lost leases, it is dead with the reason ``poison``. Ordinary claims skip suspects. Without
suspects, this module does no work.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from outbox_relay.delivery.queue_consumer import LONGEST_CLAIM_SECONDS, PendingClaims, QueueConsumer
from outbox_relay.model import ClaimedMessage
from outbox_relay.outbox.claim import FULL_SCAN_SECONDS, ClaimStore
from shared.log import get_logger
from shared.vocabulary import AnyChannel

ROUND_SECONDS = 1.0
"""How long a round continues to claim suspects. All other deliveries wait until the round ends."""

ALONE_SECONDS = 5.0
"""How long one suspect may block everything else. A message that crashes a process usually does so at once. A message
that takes longer is probably waiting for its provider."""

REST_IN_ROUNDS = 4
"""After a round, the pause until the next round is at least this many times as long as the round."""

SHORTEST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 64.0

log = get_logger("relay.poison_isolation")


@dataclass
class Backoff:
    """How long a round may wait for the deliveries in flight, and how soon the next round may come.

    A round pauses all consumers, so urgent messages would wait while a provider hangs. Therefore, a round that cannot
    start in time is cancelled. The next round may wait twice as long.
    """

    seconds: float = SHORTEST_BACKOFF_SECONDS

    def started(self) -> None:
        """Record that a round could start in time."""
        self.seconds = SHORTEST_BACKOFF_SECONDS

    def timed_out(self) -> None:
        """Record that a round could not start in time."""
        self.seconds = min(self.seconds * 2, LONGEST_BACKOFF_SECONDS)

    def rest(self, round_seconds: float) -> float:
        """Return the seconds until the next look for suspects."""
        return max(FULL_SCAN_SECONDS, round_seconds * REST_IN_ROUNDS)


class PoisonIsolation:
    """Gives suspects a round of bounded length when the poller has seen some, every few seconds at most."""

    def __init__(self, claims: ClaimStore, consumers: Sequence[QueueConsumer]) -> None:
        self._claims = claims
        self._consumers = consumers
        self._consumer_of = {consumer.key.channel: consumer for consumer in reversed(consumers)}
        self._backoff = Backoff()
        self._pending_claims = PendingClaims()
        self._is_stopping = False
        self._requested = asyncio.Event()

    def request(self) -> None:
        """Look for suspects soon: the poller has seen some."""
        self._requested.set()

    async def run(self) -> None:
        """Run rounds when requested, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._requested.wait()
            self._requested.clear()
            started = loop.time()
            if (channels := self._usable_channels()) and await self._claims.has_suspects(channels):
                await self._run_round(started + self._backoff.seconds)
            await asyncio.sleep(self._backoff.rest(loop.time() - started))

    async def drain(self) -> None:
        """Deliver all suspects that are due. The consumers must hold no message and claim no more."""
        while suspect := await self._claim():
            await self._consumer_of[suspect.channel].deliver_alone(suspect)

    async def stop(self) -> None:
        """Stop claiming. If a claim was in flight, its suspect has been passed to its consumer when this returns."""
        self._is_stopping = True
        await self._pending_claims.wait(LONGEST_CLAIM_SECONDS)

    async def _run_round(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.gather(*(consumer.pause() for consumer in self._consumers))
        except TimeoutError:
            self._backoff.timed_out()
        else:
            self._backoff.started()
            await self._deliver_suspects()
        finally:
            for consumer in self._consumers:
                consumer.resume()

    async def _deliver_suspects(self) -> None:
        loop, tried = asyncio.get_running_loop(), 0
        until = loop.time() + ROUND_SECONDS
        while loop.time() < until and (suspect := await self._claim()):
            tried += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(ALONE_SECONDS):
                    await self._consumer_of[suspect.channel].deliver_alone(suspect)
        if tried:
            log.info("suspects tried", count=tried)

    async def _claim(self) -> ClaimedMessage | None:
        channels = self._usable_channels()
        if self._is_stopping or not channels:
            return None
        with self._pending_claims:
            return await self._claims.claim_suspect(channels)

    def _usable_channels(self) -> list[AnyChannel]:
        return [channel for channel, consumer in self._consumer_of.items() if consumer.is_usable]
