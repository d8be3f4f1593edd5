"""Ctrl-C while the database is at work: what is begun is finished first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def finished_first() -> Iterator[None]:
    """Raise KeyboardInterrupt after the block for an interrupt that comes within it; for a second one, at once.

    In the midst of a statement, the driver would cancel that and tell of it. Where interrupts are ignored, as a shell
    has its background do, they stay so.
    """
    before = signal.getsignal(signal.SIGINT)
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, before)

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
