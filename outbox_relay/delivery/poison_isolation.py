"""Suspects are tried one at a time while this process holds nothing else.

A message that has lost two leases without an outcome may be one that kills the process that tries it,
and so may any other of its batch. Alone, it takes no neighbour along; after five lost leases it is
dead: poison. Ordinary claims leave suspects alone, and nothing here costs anything while there are none.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from outbox_relay.delivery.queue_consumer import PendingClaims, QueueConsumer
from outbox_relay.model import ClaimedMessage
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.scan_cursor import FULL_SCAN_SECONDS
from shared.log import get_logger
from shared.vocabulary import AnyChannel

TURN_SECONDS = 1.0
"""How long a turn goes on claiming suspects; everything else waits for its end."""

ALONE_SECONDS = 5.0
"""How long one suspect may keep everything else waiting. What kills a process does so at once, as a rule; what takes
longer hangs at its provider."""

REST_IN_TURNS = 4
"""A turn is followed by at least so many times its own length for everything else."""

SHORTEST_PATIENCE_SECONDS = 1.0
LONGEST_PATIENCE_SECONDS = 64.0

log = get_logger("relay.quarantine")


@dataclass
class Backoff:
    """How long a turn may wait for what is in flight, and how soon the next one may come.

    A provider that hangs would have codes wait for a suspect's sake. So a turn that could not begin
    in time is given up, and the next is granted twice the time.
    """

    patience: float = SHORTEST_PATIENCE_SECONDS

    def began(self) -> None:
        """Note that a turn could begin in time."""
        self.patience = SHORTEST_PATIENCE_SECONDS

    def gave_up(self) -> None:
        """Note that it could not."""
        self.patience = min(self.patience * 2, LONGEST_PATIENCE_SECONDS)

    def rest(self, turn_seconds: float) -> float:
        """Return the seconds until suspects are looked for again."""
        return max(FULL_SCAN_SECONDS, turn_seconds * REST_IN_TURNS)


class PoisonIsolation:
    """Gives suspects a turn of bounded length when the lookout has seen some, every few seconds at most."""

    def __init__(self, claims: ClaimStore, lanes: Sequence[QueueConsumer]) -> None:
        self._claims = claims
        self._lanes = lanes
        self._lane_of = {lane.key.channel: lane for lane in reversed(lanes)}
        self._pace = Backoff()
        self._claiming = PendingClaims()
        self._is_stopping = False
        self._asked = asyncio.Event()

    def soon(self) -> None:
        """Look for suspects soon: some were seen."""
        self._asked.set()

    async def run(self) -> None:
        """Keep suspects moving until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._asked.wait()
            self._asked.clear()
            began = loop.time()
            if (channels := self._usable_channels()) and await self._claims.has_suspects(channels):
                await self._turn(began + self._pace.patience)
            await asyncio.sleep(self._pace.rest(loop.time() - began))

    async def drain(self) -> None:
        """Try all suspects that are due; the lanes must have run dry and claim no more."""
        while suspect := await self._claim():
            await self._lane_of[suspect.channel].deliver_alone(suspect)

    async def stop(self) -> None:
        """Claim no more; what a claim on its way brings is held by its lane when this returns."""
        self._is_stopping = True
        await self._claiming.clear_soon()

    async def _turn(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.gather(*(lane.pause() for lane in self._lanes))
        except TimeoutError:
            self._pace.gave_up()
        else:
            self._pace.began()
            await self._try_suspects()
        finally:
            for lane in self._lanes:
                lane.resume()

    async def _try_suspects(self) -> None:
        loop, tried = asyncio.get_running_loop(), 0
        until = loop.time() + TURN_SECONDS
        while loop.time() < until and (suspect := await self._claim()):
            tried += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(ALONE_SECONDS):
                    await self._lane_of[suspect.channel].deliver_alone(suspect)
        if tried:
            log.info("suspects tried", count=tried)

    async def _claim(self) -> ClaimedMessage | None:
        channels = self._usable_channels()
        if self._is_stopping or not channels:
            return None
        with self._claiming:
            return await self._claims.claim_suspect(channels)

    def _usable_channels(self) -> list[AnyChannel]:
        return [channel for channel, lane in self._lane_of.items() if lane.is_healthy]
