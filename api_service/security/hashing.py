"""Threads that hash: of as many as cores, this process has its share, and borrows what others leave unused.

A hash goes through 31 MiB again and again. More at once than there are cores take the caches from each other, and what
another thread used last has grown cold: each of these keeps its memory, and whichever hashed last hashes next.

The share is certain. Whether more is free is read from counters that processes forked off from the same one keep for
each other, without a lock: where they are wrong, hashing is slower and nothing waits for ever. Whoever waits looks
again when this process has done a hash, and is not told of another's.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from mmap import mmap
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any, TypeVar

from shared.cores import cores

COUNTERS = 256
"""A byte for each process, by its id; two that meet in one count too little."""
MOST_COUNTED = 255

Result = TypeVar("Result")


def share_of(processes: int) -> int:
    """Return how many of the cores are for one of so many processes; at least one."""
    return max(cores() // processes, 1)


class Hasher:
    """A thread that does one thing after the other.

    Not an executor of the standard library's: those refuse work as soon as the process is told to end, when requests
    are still being answered.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, work: Callable[[], Result]) -> Result:
        """Return what the work returns, or raise what it raises."""
        if self._thread is None:
            thread = Thread(target=self._serve, name="hashing", daemon=True)
            thread.start()
            self._thread = thread
        response: Future[Result] = Future()
        self._asked.put((response, work))
        return response.result()

    def _serve(self) -> None:
        while True:
            _do(*self._asked.get())


def _do(response: Future[Result], work: Callable[[], Result]) -> None:
    try:
        response.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whatever it was, it is the asker's
        response.set_exception(error)


class Hashers:
    """All of the process's, begun when they are first needed, and anew in a process that was forked off."""

    def __init__(self) -> None:
        self._hashing = mmap(-1, COUNTERS)
        self._cores = self._share = cores()
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def share_cores(self, processes: int) -> None:
        """Know of how many processes this is one."""
        self._share = share_of(processes)

    def forget(self, process_id: int) -> None:
        """Count no more what a process hashed that has ended: killed, it could not say so."""
        self._hashing[process_id % COUNTERS] = 0

    def run(self, work: Callable[[], Result]) -> Result:
        """Return what the work returns, or raise what it raises, once it had its turn: first come, first served."""
        hasher = self._take()
        try:
            return hasher.run(work)
        finally:
            self._give_back(hasher)

    def _begin(self) -> None:
        self._idle = [Hasher() for _ in range(self._cores)]
        self._turns: deque[object] = deque()
        self._changed = Condition()

    def _take(self) -> Hasher:
        turn = object()
        with self._changed:
            self._turns.append(turn)
            try:
                self._changed.wait_for(lambda: self._turns[0] is turn and self._may_begin())
                hasher = self._idle.pop()
                self._count()
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()
            return hasher

    def _give_back(self, hasher: Hasher) -> None:
        with self._changed:
            self._idle.append(hasher)
            self._count()
            self._changed.notify_all()

    def _may_begin(self) -> bool:
        return bool(self._idle) and (self._busy < self._share or sum(self._hashing[:]) < self._cores)

    @property
    def _busy(self) -> int:
        return self._cores - len(self._idle)

    def _count(self) -> None:
        self._hashing[os.getpid() % COUNTERS] = min(self._busy, MOST_COUNTED)


HASHERS = Hashers()
