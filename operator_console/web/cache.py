"""Expensive counts: a cache that computes once for all callers, and a limit on the threads that count.

The limit leaves a thread free for other requests, however long the database takes to count.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from threading import BoundedSemaphore, Lock
from typing import Generic, TypeVar, cast

from operator_console.web.errors import BusyError

T = TypeVar("T")

EXPENSIVE_SECONDS = 0.2
"""A result that took less is computed again for each call."""
CACHE_FACTOR = 10
"""An expensive result is cached for so many times its cost, so that it uses at most a tenth of a database session."""


@dataclass(frozen=True)
class Cached(Generic[T]):
    """A result and its cost."""

    value: T
    took_seconds: float

    @property
    def cached_seconds(self) -> float:
        """How long the result is served from the cache."""
        return self.took_seconds * CACHE_FACTOR if self.took_seconds >= EXPENSIVE_SECONDS else 0

    def refresh_after(self, seconds: int) -> int:
        """Return when a page should refresh itself: not before the result changes, nor before ``seconds``."""
        return max(seconds, ceil(self.cached_seconds))


class CountPermits:
    """The threads that may run an expensive count, or wait for one, at the same time."""

    def __init__(self, number: int) -> None:
        self._semaphore = BoundedSemaphore(number)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold a permit in the block. Raises BusyError at once if no permit is free."""
        if not self._semaphore.acquire(blocking=False):
            raise BusyError
        try:
            yield
        finally:
            self._semaphore.release()


class SingleFlightCache(Generic[T]):
    """The result of one computation. Callers during the computation wait for it, and share its exception.

    Callers without a permit to wait get the previous result, if there is one.
    """

    def __init__(
        self, compute: Callable[[], T], permits: CountPermits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.compute = compute
        self.permits = permits
        self._clock = clock
        self._lock = Lock()
        self._runs = 0
        self._result: Cached[T] | None = None
        self._error: Exception | None = None
        self._expires_at = 0.0

    def get(self) -> Cached[T]:
        """Return the cached result, compute it, or return the previous one.

        Raises what the computation raises, or BusyError if there is neither a permit nor a previous result. An
        expensive exception is cached, too, for as long as it took.
        """
        runs = self._runs
        if self._clock() >= self._expires_at:
            try:
                with self.permits.hold(), self._lock:
                    if self._runs == runs:  # no other caller has computed it while this one waited for the lock
                        self._compute()
            except BusyError:
                if self._result is None:
                    raise
                return self._result
        if self._error:
            raise self._error.with_traceback(None)  # all callers raise this object, which would collect tracebacks
        return cast("Cached[T]", self._result)

    def _compute(self) -> None:
        started = self._clock()
        try:
            value = self.compute()
        except Exception as error:  # noqa: BLE001 - raised again in all callers
            self._error, took = error, self._clock() - started
            self._expires_at = started + took + (took if took >= EXPENSIVE_SECONDS else 0)
        else:
            self._error, self._result = None, Cached(value, self._clock() - started)
            self._expires_at = self._clock() + self._result.cached_seconds
        self._runs += 1
