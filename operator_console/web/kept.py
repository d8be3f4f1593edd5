"""An answer that is dear is kept for a while, and asked for once, however many want it: in memory, in one process."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from math import ceil
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")

DEAR_SECONDS = 0.2
"""What took less is asked for anew by whoever comes when it has been answered."""
KEPT_TIMES = 10
"""What took longer is kept for so many times as long: the database spends a tenth of a session on it at the most."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What was answered, and how long that took."""

    value: T
    took_seconds: float

    @property
    def kept_seconds(self) -> float:
        """For how long it answers whoever else asks."""
        return self.took_seconds * KEPT_TIMES if self.took_seconds >= DEAR_SECONDS else 0

    def renewed_after(self, seconds: int) -> int:
        """Return after how many seconds a page is to ask again that would do so after that many."""
        return max(seconds, ceil(self.kept_seconds))


class Kept(Generic[T]):
    """The answer to one question. Whoever asks while it is being answered waits for that, and shares its failure."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._one_at_a_time = Lock()
        self._last: Future[Answer[T]] | None = None
        self._ends_at = 0.0

    def answer(self, ask: Callable[[], T]) -> Answer[T]:
        """Return what is kept, or else what ``ask`` returns.

        Raises what it raises. A failure that was dear is kept, too, for as long as it took.
        """
        asked, is_ours = self._asked()
        if is_ours:
            self._ask(ask, asked)
        if error := asked.exception():
            raise error.with_traceback(None)  # all who wait raise the same one, which would gather the lines of each
        return asked.result()

    def _asked(self) -> "tuple[Future[Answer[T]], bool]":
        """Return the question that is open, or answered not long ago; else a new one, which is the caller's to ask."""
        with self._one_at_a_time:
            if self._last is not None and (not self._last.done() or self._clock() < self._ends_at):
                return self._last, False
            self._last = Future()
            return self._last, True

    def _ask(self, ask: Callable[[], T], asked: "Future[Answer[T]]") -> None:
        began = self._clock()
        try:
            value = ask()
        except BaseException as error:  # noqa: BLE001 - raised in all who wait for it
            ended = self._clock()
            self._ends_at = ended + (ended - began if ended - began >= DEAR_SECONDS else 0)
            asked.set_exception(error)
            return
        ended = self._clock()
        found = Answer(value, ended - began)
        self._ends_at = ended + found.kept_seconds
        asked.set_result(found)
