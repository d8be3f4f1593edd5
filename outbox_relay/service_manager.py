"""Talking to systemd, or whatever else supervises the process and speaks its protocol (sd_notify(3))."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"

BEAT = timedelta(seconds=10)
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
        self.beat = timedelta(microseconds=int(microseconds)) / 2 if is_awaited else BEAT

    def tell(self, *facts: str) -> None:
        """Send the facts as one datagram. One that cannot be sent is lost: nothing here may hold up the relay."""
        if not self._path:
            return
        # A name that begins with @ is of Linux's abstract namespace, whose names begin with NUL.
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox:
            mailbox.settimeout(LONGEST_TELLING_SECONDS)
            mailbox.sendto("\n".join(facts).encode(), address)
