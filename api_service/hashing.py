"""Threads that hash, as many at once as this process has cores to itself, or finds unused.

A hash goes through 19 MiB again and again. More at once than there are cores take the caches from each other, and what
another thread used last has grown cold: each of these keeps its memory for its next hash, and the last one is first.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from mmap import mmap
from threading import Condition
from typing import ParamSpec, TypeVar

from shared.cores import cores

PLACES = 256
"""Where processes note how many hash; two whose numbers meet in one only count too little."""

MOST_NOTED = 255
"""A place is a byte."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def share_of(processes: int) -> int:
    """Return how many of the cores are for one of so many processes, rounded up."""
    return -(-cores() // processes)


class Hashers:
    """The threads, begun when they are first needed, and anew in a process that was forked off.

    Beyond its share a process takes what is free: it sees how many hash in those that were forked off from the same.
    """

    def __init__(self) -> None:
        self._everywhere = mmap(-1, PLACES)
        self._share = self._most = cores()
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def share_cores(self, processes: int) -> None:
        """Know of how many processes this is one."""
        self._share = share_of(processes)

    def forget(self, process_id: int) -> None:
        """Count no more what a process hashed that has ended: killed, it could not say so."""
        self._everywhere[process_id % PLACES] = 0

    def run(self, work: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        """Return what the work returns, or raise what it raises, once it had its turn."""
        thread = self._take_thread()
        try:
            return thread.submit(work, *arguments, **options).result()
        finally:
            self._give_back(thread)

    def _begin(self) -> None:
        self._idle = [ThreadPoolExecutor(1, "hashing") for _ in range(self._most)]
        self._turns: deque[object] = deque()  # whoever came first is first
        self._changed = Condition()

    def _take_thread(self) -> ThreadPoolExecutor:
        turn = object()
        with self._changed:
            self._turns.append(turn)
            try:
                self._changed.wait_for(lambda: self._turns[0] is turn and self._may_begin())
                thread = self._idle.pop()
                self._note()
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()
            return thread

    def _give_back(self, thread: ThreadPoolExecutor) -> None:
        with self._changed:
            self._idle.append(thread)
            self._note()
            self._changed.notify_all()

    def _may_begin(self) -> bool:
        return bool(self._idle) and (self._busy < self._share or sum(self._everywhere[:]) < self._most)

    @property
    def _busy(self) -> int:
        return self._most - len(self._idle)

    def _note(self) -> None:
        self._everywhere[os.getpid() % PLACES] = min(self._busy, MOST_NOTED)


HASHERS = Hashers()
