"""Seeing to it that the lanes move, and telling the service manager how they do."""

import asyncio

from outbox_relay.bootstrap import Parts
from outbox_relay.service_manager import ALIVE, READY, ServiceManager
from outbox_relay.settings import RelaySettings
from outbox_relay.watch import LaneWatch, Phase, patience, status_line
from shared.log import get_logger

log = get_logger("relay.watchman")


class Watchman:
    """Looks at the lanes at each beat, from within the loop they run in: if that is stuck, so is he."""

    def __init__(self, manager: ServiceManager, parts: Parts, settings: RelaySettings) -> None:
        self._manager = manager
        self._parts = parts
        limits = patience(settings.poll, settings.longest_in_hand)
        self._watches = [LaneWatch(limits, manager.beat) for _ in parts.relay.pulses]
        self._was_stuck = False
        self.phase = Phase.STARTING

    async def run(self) -> None:
        """Tell the service manager at each beat how it goes, and that all is well only while it is; until cancelled."""
        while True:
            self.tell(*self._proof_of_life())
            await asyncio.sleep(self._manager.beat.total_seconds())

    async def announce(self) -> None:
        """Tell the service manager when claiming has begun."""
        await self._parts.relay.begun()
        self.phase = Phase.CLAIMING
        self.tell(READY)

    def go_on(self) -> None:
        """Tell the service manager that a reload came to nothing; if claiming has not begun, ``announce`` will."""
        if self.phase is Phase.CLAIMING:
            self.tell(READY)

    def tell(self, *facts: str) -> None:
        """Tell the service manager facts, and how it goes."""
        status = status_line(self.phase, self._parts.relay.pulses, self._parts.lifelines.lost_since)
        self._manager.tell(*facts, f"STATUS={status}")

    def _proof_of_life(self) -> tuple[str, ...]:
        pulses, failures = self._parts.relay.pulses, self._parts.lifelines.failures
        beats = zip(self._watches, pulses, strict=True)
        stuck = [watch for watch, pulse in beats if watch.is_stuck_after(pulse, failures)]
        is_stuck = bool(stuck)
        if is_stuck and not self._was_stuck:
            log.error("relay stuck", held=[pulse.held for pulse in pulses])
        self._was_stuck = is_stuck
        return () if is_stuck else (ALIVE,)
