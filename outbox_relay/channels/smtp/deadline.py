"""A time limit that is cheap to put off."""

import asyncio
from collections.abc import Callable
from functools import partial


class Deadline:
    """Calls ``missed`` once ``allowance`` seconds have passed since it was last renewed.

    Renewing only notes a time. The one timer, when it finds that it came too early, waits on: a
    timer started and cancelled for each letter would cost more than parsing all its replies.
    """

    def __init__(self, allowance: float, missed: Callable[[], None]) -> None:
        self._allowance = allowance
        self._missed = missed
        self._loop = asyncio.get_running_loop()
        self.renew()
        self._timer = self._loop.call_at(self._at, self._look)

    def renew(self) -> None:
        """Begin the allowance anew."""
        self._at = self._loop.time() + self._allowance

    def cancel(self) -> None:
        """Never call ``missed`` again."""
        self._timer.cancel()

    def _look(self, *, is_certain: bool = False) -> None:
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._look)
        elif is_certain:
            self._missed()
        else:
            # A process that was stopped finds its timers due before it has looked at its sockets, where the answer
            # may lie: in the loop's next turn those come first.
            self._timer = self._loop.call_later(0, partial(self._look, is_certain=True))
