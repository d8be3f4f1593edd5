"""``Prefer: wait=N``: answering a little later, when there is more to tell."""

import re
import time
from collections.abc import Callable
from threading import Lock
from uuid import UUID

from api_service.settled import Bells

LONGEST_WAIT_SECONDS = 20
FIRST_LOOK_SECONDS = 0.025
LONGEST_LOOK_SECONDS = 0.25
LISTENING_LOOK_SECONDS = 2.0
"""Between looks while the relays are heard: for what they could not tell, or what a crash swallowed."""

# One preference of a list. A comma in a quoted string does not end it, not even if the quote never ends.
_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+')
# Its zeros are not taken apart here: where two parts may take the same character, a long header takes seconds.
_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]+)"?\s*(?:;.*)?', re.IGNORECASE)


def preferred_seconds(header: str | None) -> int:
    """Read how long the client would wait (RFC 7240 §4.3), up to what we allow; 0 if it says nothing."""
    for preference in _PREFERENCE.findall(header or ""):
        if found := _WAIT.fullmatch(preference):
            return _at_most(LONGEST_WAIT_SECONDS, digits=found[1])
    return 0


def _at_most(longest: int, *, digits: str) -> int:
    # Python refuses to read numbers of thousands of digits.
    digits = digits.lstrip("0")
    return longest if len(digits) > len(str(longest)) else min(int(digits or 0), longest)


class WaitingRoom:
    """Seats for requests that wait: at most half of the threads, so that the other half goes on serving."""

    def __init__(self, threads: int, bells: Bells) -> None:
        self.seats = threads // 2
        self.taken = 0
        self._door = Lock()
        self._bells = bells

    def wait_until_settled(self, unsettled: Callable[[], UUID | None], seconds: int) -> bool:
        """Wait until ``unsettled`` names no message any more, for so many seconds at most.

        Returns False, at once, if no seat is free. What ``unsettled`` raises ends the waiting.
        """
        if not self._has_taken_seat():
            return False
        try:
            self._look_until(unsettled, time.monotonic() + seconds)
        finally:
            self._leave()
        return True

    def _look_until(self, unsettled: Callable[[], UUID | None], deadline: float) -> None:
        pause = FIRST_LOOK_SECONDS
        with self._bells.bell() as bell:
            while (message_id := unsettled()) and (left := deadline - time.monotonic()) > 0:
                if bell.message_id != message_id:
                    # Looked at once more before the first wait: it may have settled just before the bell was set.
                    bell.message_id = message_id
                    continue
                bell.wait(min(LISTENING_LOOK_SECONDS if self._bells.is_fed else pause, left))
                pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)

    def _has_taken_seat(self) -> bool:
        with self._door:
            is_free = self.taken < self.seats
            self.taken += is_free
        return is_free

    def _leave(self) -> None:
        with self._door:
            self.taken -= 1
