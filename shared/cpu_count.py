"""The number of CPUs available to this process."""

import os


def cpu_count() -> int:
    """Return how many CPUs this process may use. ``os.cpu_count`` ignores its CPU affinity."""
    return len(os.sched_getaffinity(0))
