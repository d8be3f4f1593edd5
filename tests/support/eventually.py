"""Waiting for an effect, with a deadline instead of a guess."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], *, seconds: float = 30) -> Seen:
    """Return what ``look`` sees once it is true; fail when it is not by the deadline."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {seconds} s"
        time.sleep(0.01)
    return seen
