"""A provider that is down is left alone for a while, so that its outage costs no message anything."""

from dataclasses import dataclass
from datetime import timedelta

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
NOTHING = timedelta(0)


@dataclass
class Breaker:
    """Closed: letters pass. Open until a moment: none do. Then half open: one visitor goes ahead to see.

    Moments are of a monotonic clock, given by the caller.
    """

    failures: int = 0
    open_until: float = 0.0
    is_probing: bool = False

    def is_open(self, now: float) -> bool:
        """Tell whether the provider is to be left alone at that moment."""
        return now < self.open_until

    def admits(self, now: float) -> bool:
        """Tell whether another visitor may go there: any while closed, one while half open."""
        return not self.is_open(now) and not (self.failures and self.is_probing)

    def allowance(self, now: float, limit: int) -> int:
        """Return how many of ``limit`` letters may be tried: all, one, or none."""
        if self.is_open(now):
            return 0
        return min(limit, 1) if self.failures else limit

    def remaining(self, now: float) -> timedelta:
        """Return how long it stays open from that moment on."""
        return timedelta(seconds=max(self.open_until - now, 0.0))

    def failed(self, now: float, *, dice: float, at_least: timedelta = NOTHING) -> None:
        """Open, for twice as long as the last time, less up to half of it by ``dice`` (0 up to 1).

        Failures that were already on their way when it opened change nothing, unless the provider
        has asked for more time: ``at_least``.
        """
        if not self.is_open(now):
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures, 16), LONGEST_PAUSE_SECONDS)
            self.failures += 1
            self.open_until = now + pause * (1 - dice / 2)
        self.open_until = max(self.open_until, now + at_least.total_seconds())

    def succeeded(self) -> None:
        """Close: the provider answers."""
        self.failures = 0
        self.open_until = 0.0
