"""``Prefer: wait=N``: delay a response until a message has settled."""

import re
import time
from collections.abc import Callable
from threading import BoundedSemaphore

MAX_WAIT_SECONDS = 20
POLL_SECONDS = 0.1
"""The longest time from a settlement to the query that sees it. A waiting request costs 1 % of a core."""

# One preference of a list. A comma in a quoted string does not end it, even if the quote is never closed.
_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+')
# Leading zeros are not matched separately: with two parts that match the same character, a long header takes seconds.
_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]+)"?\s*(?:;.*)?', re.IGNORECASE)


def preferred_seconds(header: str | None) -> int:
    """Return the wait preferred by a Prefer header (RFC 7240 §4.3), limited to MAX_WAIT_SECONDS; 0 without one."""
    for preference in _PREFERENCE.findall(header or ""):
        if found := _WAIT.fullmatch(preference):
            digits = found[1].lstrip("0")
            # Python rejects numbers of thousands of digits.
            is_long = len(digits) > len(str(MAX_WAIT_SECONDS))
            return MAX_WAIT_SECONDS if is_long else min(int(digits or 0), MAX_WAIT_SECONDS)
    return 0


class SettledWaiters:
    """The requests that wait for a message: at most so many, so that other threads serve on."""

    def __init__(self, most_requests: int) -> None:
        self.permits = BoundedSemaphore(most_requests)

    def wait_until_settled(self, is_settled: Callable[[], bool], seconds: int) -> bool:
        """Poll until the message has settled or the time is over. Return False at once without a permit.

        An error of ``is_settled`` ends the wait.
        """
        if not self.permits.acquire(blocking=False):
            return False
        try:
            deadline = time.monotonic() + seconds
            while not is_settled() and (left := deadline - time.monotonic()) > 0:
                time.sleep(min(POLL_SECONDS, left))
        finally:
            self.permits.release()
        return True
