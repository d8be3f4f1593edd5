"""Freeze processes, as a paused virtual machine would."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.eventually import eventually


def freeze(pid: int) -> None:
    """Stop the process, and return once it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")


def thaw(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze the process during the block."""
    freeze(pid)
    try:
        yield
    finally:
        thaw(pid)
