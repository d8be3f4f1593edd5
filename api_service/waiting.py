"""``Prefer: wait=N``: answering a little later, when there is more to tell."""

import re
import time
from collections.abc import Callable
from threading import Lock

LONGEST_WAIT_SECONDS = 20
FIRST_LOOK_SECONDS = 0.025
LONGEST_LOOK_SECONDS = 0.25

# One preference of a list. A comma in a quoted string does not end it, not even if the quote never ends.
_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+')
_WAIT = re.compile(r'\s*wait\s*=\s*"?0*([0-9]+)"?\s*(?:;.*)?', re.IGNORECASE)


def preferred_seconds(header: str | None) -> int:
    """Read how long the client would wait (RFC 7240 §4.3), up to what we allow; 0 if it says nothing."""
    for preference in _PREFERENCE.findall(header or ""):
        if found := _WAIT.fullmatch(preference):
            return _at_most(LONGEST_WAIT_SECONDS, digits=found[1])
    return 0


def _at_most(longest: int, *, digits: str) -> int:
    # Python refuses to read numbers of thousands of digits.
    return longest if len(digits) > len(str(longest)) else min(int(digits), longest)


class WaitingRoom:
    """Seats for requests that wait: at most half of the threads, so that the other half goes on serving."""

    def __init__(self, threads: int) -> None:
        self.seats = threads // 2
        self.taken = 0
        self._door = Lock()

    def wait_until(self, is_over: Callable[[], bool], seconds: int) -> bool:
        """Wait for ``is_over``, for so many seconds at most; returns False, at once, if no seat is free.

        What ``is_over`` raises ends the waiting.
        """
        if not self._has_taken_seat():
            return False
        try:
            _look_until(is_over, time.monotonic() + seconds)
        finally:
            self._leave()
        return True

    def _has_taken_seat(self) -> bool:
        with self._door:
            is_free = self.taken < self.seats
            self.taken += is_free
        return is_free

    def _leave(self) -> None:
        with self._door:
            self.taken -= 1


def _look_until(is_over: Callable[[], bool], deadline: float) -> None:
    pause = FIRST_LOOK_SECONDS
    while not is_over() and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
