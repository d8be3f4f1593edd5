"""Waiting for an effect, with a deadline instead of a guess."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

SHORTEST_SECONDS = 0.01
LONGEST_SECONDS = 0.1


def eventually(look: Callable[[], Seen], *, seconds: float = 30) -> Seen:
    """Return what ``look`` sees once it is true; fail when it is not by the deadline."""
    deadline, pause = time.monotonic() + seconds, SHORTEST_SECONDS
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {seconds} s"
        time.sleep(pause)
        # A look costs whoever is looked at as much as us, often a connection of its own: what takes long is asked less.
        pause = min(pause * 1.2, LONGEST_SECONDS)
    return seen
