"""The watchdog: checks that the consumers make progress, and reports to the service manager (sd_notify(3))."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from outbox_relay.delivery.relay import Relay
from outbox_relay.supervision.stall_detector import Phase, StallDetector, StallLimits, status_line
from shared.log import get_logger

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"

WATCHDOG_INTERVAL = timedelta(seconds=10)
"""How often to check the consumers if the service manager has no watchdog."""

LONGEST_SEND_SECONDS = 0.1
"""How long to wait for a service manager whose socket is full."""

log = get_logger("relay.watchdog")


def reloading() -> str:
    """Return the message that announces a reload to the service manager. READY announces its end."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


class ServiceManager:
    """The service manager that NOTIFY_SOCKET names. Without one, notifications are dropped."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._path = environment.get("NOTIFY_SOCKET")
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        # Half of the time that the service manager allows, as sd_watchdog_enabled(3) recommends.
        has_watchdog = is_ours and microseconds.isdecimal() and int(microseconds) > 0
        self.watchdog_interval = timedelta(microseconds=int(microseconds)) / 2 if has_watchdog else WATCHDOG_INTERVAL

    def notify(self, *assignments: str) -> None:
        """Send assignments as one datagram. Errors are ignored, because the relay must not wait."""
        if not self._path:
            return
        # A name that begins with @ is in Linux's abstract namespace, whose names begin with NUL.
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox:
            mailbox.settimeout(LONGEST_SEND_SECONDS)
            mailbox.sendto("\n".join(assignments).encode(), address)


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
