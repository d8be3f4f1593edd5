"""How many of the machine's processors this process has."""

import os


def cores() -> int:
    """Count the processors that this process may run on."""
    return len(os.sched_getaffinity(0))
