"""Find processes by a mark in their environment, which their children inherit."""

import os
import time
from pathlib import Path

import pytest

MARK_VARIABLE = "LOGNAME"  # the devstack passes this variable to its processes
POLL_SECONDS = 0.05


def marked_processes(mark: str) -> dict[int, str]:
    """Return the command lines of all living processes with the mark. Zombies have no command line."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("this machine has no /proc to look processes up in")
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK_VARIABLE}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:  # the process has ended
            continue
    return found


def marked_environment(mark: str) -> dict[str, str]:
    return os.environ | {MARK_VARIABLE: mark}


def wait_until_gone(mark: str, seconds: float = 30) -> dict[int, str]:
    """Wait until all marked processes have ended, and return the remaining ones at the deadline."""
    deadline = time.monotonic() + seconds
    while (left := marked_processes(mark)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return left
