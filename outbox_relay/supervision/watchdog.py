"""The watchdog: checks that the consumers make progress, and reports to the service manager."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from outbox_relay.delivery.relay import Relay
from outbox_relay.supervision.stall_detector import Phase, StallDetector, StallLimits, status_line
from shared.host import ALIVE, READY, ServiceManager
from shared.log import get_logger

log = get_logger("relay.watchdog")


def reloading() -> str:
    """Return the message that announces a reload to the service manager. READY announces its end."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


class Watchdog:
    """Checks the consumers at each interval.

    It runs on the same event loop as they do. So if the loop is blocked, the watchdog also stops, and the service
    manager notices.
    """

    def __init__(
        self,
        manager: ServiceManager,
        relay: Relay,
        *,
        limits: StallLimits,
        failures: Callable[[], int],
        lost_since: Callable[[], datetime | None],
    ) -> None:
        self._manager = manager
        self._relay = relay
        self._failures = failures
        self._lost_since = lost_since
        self._detectors = [StallDetector(limits, manager.watchdog_interval) for _ in relay.progress]
        self._was_stuck = False
        self.phase = Phase.STARTING

    async def run(self) -> None:
        """Until cancelled, report the status at each interval. Report "alive" only if no consumer is stuck."""
        while True:
            self.notify(*self._proof_of_life())
            await asyncio.sleep(self._manager.watchdog_interval.total_seconds())

    async def announce(self) -> None:
        """Report readiness at once, and the status again when claiming has started.

        Readiness does not wait for the database: `systemctl start` would block for as long as that is unreachable.
        """
        self.notify(READY)
        await self._relay.wait_until_started()
        self.phase = Phase.CLAIMING
        self.notify()

    def reload_failed(self) -> None:
        """Report that a reload failed, and that the relay runs as before."""
        self.notify(READY)

    def notify(self, *assignments: str) -> None:
        """Send assignments, with the status."""
        status = status_line(self.phase, self._relay.progress, self._lost_since())
        self._manager.notify(*assignments, f"STATUS={status}")

    def _proof_of_life(self) -> tuple[str, ...]:
        progress, failures = self._relay.progress, self._failures()
        pairs = zip(self._detectors, progress, strict=True)
        is_stuck = bool([detector for detector, each in pairs if detector.is_stuck_after(each, failures)])
        if is_stuck and not self._was_stuck:
            log.error("relay stuck", held=[each.held for each in progress])
        self._was_stuck = is_stuck
        return () if is_stuck else (ALIVE,)
