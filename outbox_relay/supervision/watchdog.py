"""Seeing to it that the lanes move, and telling the service manager how they do."""

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from outbox_relay.bootstrap import RelayComponents
from outbox_relay.settings import RelaySettings
from outbox_relay.supervision.stall_detector import Phase, StallDetector, patience, status_line
from shared.log import get_logger

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"

WATCHDOG_INTERVAL = timedelta(seconds=10)
"""How often to look after the relay where nobody has said how often they want to hear of it."""

LONGEST_TELLING_SECONDS = 0.1
"""How long to wait for a supervisor whose mailbox is full."""


def reloading() -> str:
    """Return what announces that settings are being read anew; READY ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


class ServiceManager:
    """The supervisor named in the environment; telling it anything does nothing where there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._path = environment.get("NOTIFY_SOCKET")
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        # Half of what it allows, as sd_watchdog_enabled(3) recommends.
        is_awaited = is_ours and microseconds.isdecimal() and int(microseconds) > 0
        self.beat = timedelta(microseconds=int(microseconds)) / 2 if is_awaited else WATCHDOG_INTERVAL

    def tell(self, *facts: str) -> None:
        """Send the facts as one datagram. One that cannot be sent is lost: nothing here may hold up the relay."""
        if not self._path:
            return
        # A name that begins with @ is of Linux's abstract namespace, whose names begin with NUL.
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox:
            mailbox.settimeout(LONGEST_TELLING_SECONDS)
            mailbox.sendto("\n".join(facts).encode(), address)


log = get_logger("relay.watchman")


class Watchdog:
    """Looks at the lanes at each beat, from within the loop they run in: if that is stuck, so is he."""

    def __init__(self, manager: ServiceManager, parts: RelayComponents, settings: RelaySettings) -> None:
        self._manager = manager
        self._parts = parts
        limits = patience(settings.poll, settings.longest_in_hand)
        self._watches = [StallDetector(limits, manager.beat) for _ in parts.relay.pulses]
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
