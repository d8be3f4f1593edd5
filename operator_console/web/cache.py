"""A cache for one expensive result: computed once for all callers, and cached in proportion to its cost."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from math import ceil
from threading import Lock
from typing import Generic, TypeVar

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


class SingleFlightCache(Generic[T]):
    """The result of one computation. Callers during the computation wait for it, and share its exception."""

    def __init__(self, compute: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        self.compute = compute
        self._clock = clock
        self._lock = Lock()
        self._last: Future[Cached[T]] | None = None
        self._expires_at = 0.0

    def get(self) -> Cached[T]:
        """Return the cached result, or compute it.

        Raises what the computation raises. An expensive exception is cached, too, for as long as it took.
        """
        future, is_ours = self._current()
        if is_ours:
            self._compute(future)
        if error := future.exception():
            raise error.with_traceback(None)  # all callers raise this object, which would collect their tracebacks
        return future.result()

    def _current(self) -> "tuple[Future[Cached[T]], bool]":
        """Return the running or cached computation, or else a new one, which the caller has to run."""
        with self._lock:
            if self._last is not None and (not self._last.done() or self._clock() < self._expires_at):
                return self._last, False
            self._last = Future()
            return self._last, True

    def _compute(self, future: "Future[Cached[T]]") -> None:
        started = self._clock()
        try:
            value = self.compute()
        except BaseException as error:  # noqa: BLE001 - raised again in all callers
            ended = self._clock()
            self._expires_at = ended + (ended - started if ended - started >= EXPENSIVE_SECONDS else 0)
            future.set_exception(error)
            return
        ended = self._clock()
        result = Cached(value, ended - started)
        self._expires_at = ended + result.cached_seconds
        future.set_result(result)
