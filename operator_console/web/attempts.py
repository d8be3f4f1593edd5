"""How often one client may offer a wrong token: counted in memory, as there is one process."""

import time
from math import ceil

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from operator_console.web.errors import TooManyAttemptsError

MOST = parse("10/minute")


class Attempts:
    """Wrong tokens by the address they came from. A token is 256 bits of chance: this keeps the noise down."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def refuse_if_too_many(self, client: str) -> None:
        """Raise TooManyAttemptsError while the client has used up its attempts."""
        if not self._limiter.test(MOST, client):
            reset_at = self._limiter.get_window_stats(MOST, client).reset_time
            raise TooManyAttemptsError(max(ceil(reset_at - time.time()), 1))

    def count(self, client: str) -> None:
        """Count a wrong token."""
        self._limiter.hit(MOST, client)
