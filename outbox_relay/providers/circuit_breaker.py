"""A provider that is down is left alone for a while, so that its outage costs no message anything."""

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
NOTHING = timedelta(0)

WINDOW_SECONDS = 30.0
WINDOW_ATTEMPTS = 100
FEWEST_ATTEMPTS = 10
"""Fewer say nothing of a share: beside successes, one or two broken connections are the network's."""
SHARE_OF_FAILURES = 0.5
FAILURES_IN_A_ROW = 5
"""So many, and whatever succeeded before is past: a server that was stopped is not asked a hundred times."""
PROBES_TO_CLOSE = 2
"""One letter may slip through a provider that is about to fall over again."""
MOST_DOUBLINGS = 16
"""More change nothing: the pause has long reached its cap."""


class BreakerState(StrEnum):
    """Closed: letters pass. Open: none do. Half open: one at a time goes ahead to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class CircuitBreaker:
    """Opens when too many of a provider's last attempts failed, and closes when enough probes came through.

    Moments are of a monotonic clock, given by the caller. ``openings`` counts those in a row; the pauses
    double with it. ``probe_permit_until`` is until when this process may probe: of a fleet, one does.
    """

    openings: int = 0
    open_until: float = 0.0
    probe_permit_until: float = float("-inf")
    passed: int = 0
    _attempts: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=WINDOW_ATTEMPTS))
    _openings_before: int = 0
    _closed_at: float = float("-inf")

    def condition(self, now: float) -> BreakerState:
        """Return how it stands at that moment."""
        if not self.openings:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.open_until else BreakerState.HALF_OPEN

    def has_probe_permit(self, now: float) -> bool:
        """Tell whether this process is the one that may probe."""
        return now < self.probe_permit_until

    def remaining(self, now: float) -> timedelta:
        """Return how long it stays open from that moment on."""
        return timedelta(seconds=max(self.open_until - now, 0.0) if self.openings else 0.0)

    def failed(self, now: float, *, jitter: float, at_least: timedelta = NOTHING) -> bool:
        """Note a failure; return whether it now stands open for another or a longer time.

        It opens when nothing succeeds, or half of what was tried does not, or when the provider asks
        for time (``at_least``). Failures on their way when it opened change nothing but by what they ask.
        """
        if self.condition(now) is BreakerState.OPEN:
            asked_until = now + at_least.total_seconds()
            is_longer = asked_until > self.open_until
            self.open_until = max(self.open_until, asked_until)
            return is_longer
        self._note(now, is_failure=True)
        is_opening = self.openings > 0 or bool(at_least) or self._fails_too_often(now)
        if is_opening:
            self._open(now, jitter, at_least)
        return is_opening

    def succeeded(self, now: float) -> bool:
        """Note that the provider has answered; return whether that closes it.

        While it is open, it is a letter from before, and proves nothing.
        """
        match self.condition(now):
            case BreakerState.CLOSED:
                self._note(now, is_failure=False)
                return False
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                self.passed += 1
                if self.passed < PROBES_TO_CLOSE:
                    return False
        self._close(now)
        return True

    def adopt(self, now: float, openings: int, open_for: float) -> None:
        """Stand as the fleet does: ``openings`` in a row, open for so many seconds more, or closed at 0."""
        if not openings and self.openings:
            self._close(now)
        elif openings:
            self.passed = 0 if openings != self.openings else self.passed
            self.openings = openings
            self.open_until = now + open_for

    def _open(self, now: float, jitter: float, at_least: timedelta) -> None:
        """Open for twice as long as the last time, less up to half of it by ``jitter`` (0 up to 1)."""
        if not self.openings and now - self._closed_at < WINDOW_SECONDS:
            self.openings = self._openings_before  # it had hardly closed: the pauses go on doubling
        doublings = min(self.openings, MOST_DOUBLINGS)
        pause = min(FIRST_PAUSE_SECONDS * 2.0**doublings, LONGEST_PAUSE_SECONDS) * (1 - jitter / 2)
        self.openings += 1
        self.open_until = now + max(pause, at_least.total_seconds())
        self.probe_permit_until = float("-inf")
        self.passed = 0

    def _close(self, now: float) -> None:
        self._openings_before, self._closed_at = self.openings, now
        self.openings = self.passed = 0
        # What came through is remembered, so that the next failure is not the only thing known.
        self._attempts.clear()
        self._note(now, is_failure=False)

    def _note(self, now: float, *, is_failure: bool) -> None:
        self._attempts.append((now, is_failure))

    def _fails_too_often(self, now: float) -> bool:
        recent = [is_failure for moment, is_failure in self._attempts if now - moment < WINDOW_SECONDS]
        is_share_reached = len(recent) >= FEWEST_ATTEMPTS and sum(recent) >= SHARE_OF_FAILURES * len(recent)
        # Of fewer attempts than that, all have failed: nothing succeeds.
        return is_share_reached or all(recent[-FAILURES_IN_A_ROW:])
