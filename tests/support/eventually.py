"""Wait for an effect, with a deadline instead of a guessed delay."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

SHORTEST_SECONDS = 0.01
LONGEST_SECONDS = 0.1


def eventually(look: Callable[[], Seen], *, seconds: float = 30) -> Seen:
    """Return the result of ``look`` once it is true, and fail at the deadline."""
    deadline, pause = time.monotonic() + seconds, SHORTEST_SECONDS
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {seconds} s"
        time.sleep(pause)
        # A look often opens a connection and loads the process it observes, so slow looks are repeated less often.
        pause = min(pause * 1.2, LONGEST_SECONDS)
    return seen
