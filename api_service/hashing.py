"""Threads that hash, as many as this process has cores to itself.

A hash goes through 19 MiB again and again. More at once than there are cores take the caches from each other, and what
another thread used last has grown cold: each of these keeps its memory for its next hash.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from shared.cores import cores

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def share_of(processes: int) -> int:
    """Return how many of the cores are for one of so many processes, rounded up."""
    return -(-cores() // processes)


class Hashers:
    """The threads, begun when they are first needed, and anew in a process that was forked off."""

    def __init__(self) -> None:
        self.share_cores(1)
        os.register_at_fork(after_in_child=self._begin)

    def share_cores(self, processes: int) -> None:
        """Have as many as are for one of so many processes; for requests that come later."""
        self._count = share_of(processes)
        self._begin()

    def run(self, work: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        """Return what the work returns, or raise what it raises, once it had its turn."""
        return self._threads.submit(work, *arguments, **options).result()

    def _begin(self) -> None:
        self._threads = ThreadPoolExecutor(self._count, "hashing")


HASHERS = Hashers()
