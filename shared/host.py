"""A process's view of its host: the number of its CPUs, and notifications of the service manager (sd_notify(3))."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"

WATCHDOG_INTERVAL = timedelta(seconds=10)
"""How often to check for progress if the service manager has no watchdog."""

LONGEST_SEND_SECONDS = 0.1
"""How long to wait for a service manager whose socket is full."""


def cpu_count() -> int:
    """Return how many CPUs this process may use. ``os.cpu_count`` ignores its CPU affinity."""
    return len(os.sched_getaffinity(0))


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
        """Send assignments as one datagram. Errors are ignored, because the process must not wait."""
        if not self._path:
            return
        # A name that begins with @ is in Linux's abstract namespace, whose names begin with NUL.
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox:
            mailbox.settimeout(LONGEST_SEND_SECONDS)
            mailbox.sendto("\n".join(assignments).encode(), address)
