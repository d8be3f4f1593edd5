"""Circuit breaker: no messages go to a provider that is down, so that its outage costs no message an attempt."""

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
"""Fewer attempts make no meaningful share: next to successes, one or two broken connections are network noise."""
SHARE_OF_FAILURES = 0.5
FAILURES_IN_A_ROW = 5
"""So many failures in a row open the breaker whatever succeeded before, so that a stopped server is noticed soon."""
PROBES_TO_CLOSE = 2
"""One message may still get through to a provider that is about to fail again."""
MOST_DOUBLINGS = 16
"""More doublings change nothing: the pause has reached its cap."""


class BreakerState(StrEnum):
    """Closed: messages pass. Open: none pass. Half open: one message at a time is sent as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class CircuitBreaker:
    """Opens when too many of a provider's last attempts failed, and closes when enough probes came through.

    The caller passes times of a monotonic clock. Pauses double with ``consecutive_opens``. Until
    ``probe_permit_until`` this process may probe: one of all relays does.
    """

    consecutive_opens: int = 0
    open_until: float = 0.0
    probe_permit_until: float = float("-inf")
    passed: int = 0
    _attempts: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=WINDOW_ATTEMPTS))
    _opens_before_close: int = 0
    _closed_at: float = float("-inf")

    def state(self, now: float) -> BreakerState:
        """Return the state at that time."""
        if not self.consecutive_opens:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.open_until else BreakerState.HALF_OPEN

    def has_probe_permit(self, now: float) -> bool:
        """Return whether this process is the one that may probe."""
        return now < self.probe_permit_until

    def remaining(self, now: float) -> timedelta:
        """Return how long it stays open from that time on."""
        return timedelta(seconds=max(self.open_until - now, 0.0) if self.consecutive_opens else 0.0)

    def failed(self, now: float, *, jitter: float, at_least: timedelta = NOTHING) -> bool:
        """Record a failure; return whether the breaker is now open anew or for longer.

        It opens when the provider asks for time (``at_least``), when a probe fails, or by the attempts of the last
        WINDOW_SECONDS: the last FAILURES_IN_A_ROW failed (all, if there are fewer), or SHARE_OF_FAILURES of at least
        FEWEST_ATTEMPTS. Failures that were in flight when it opened only count if they ask for more time.
        """
        if self.state(now) is BreakerState.OPEN:
            asked_until = now + at_least.total_seconds()
            is_longer = asked_until > self.open_until
            self.open_until = max(self.open_until, asked_until)
            return is_longer
        self._record(now, is_failure=True)
        is_opening = self.consecutive_opens > 0 or bool(at_least) or self._fails_too_often(now)
        if is_opening:
            self._open(now, jitter, at_least)
        return is_opening

    def succeeded(self, now: float) -> bool:
        """Record a success; return whether it closes the breaker.

        While the breaker is open, the message was submitted before it opened, and proves nothing.
        """
        match self.state(now):
            case BreakerState.CLOSED:
                self._record(now, is_failure=False)
                return False
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                self.passed += 1
                if self.passed < PROBES_TO_CLOSE:
                    return False
        self._close(now)
        return True

    def adopt(self, now: float, consecutive_opens: int, open_for: float) -> None:
        """Adopt the state shared by all relays: open for so many seconds more, or closed at 0 consecutive opens."""
        if not consecutive_opens and self.consecutive_opens:
            self._close(now)
        elif consecutive_opens:
            self.passed = 0 if consecutive_opens != self.consecutive_opens else self.passed
            self.consecutive_opens = consecutive_opens
            self.open_until = now + open_for

    def _open(self, now: float, jitter: float, at_least: timedelta) -> None:
        """Open for twice as long as the last time, less up to half of it by ``jitter`` (0 to 1)."""
        if not self.consecutive_opens and now - self._closed_at < WINDOW_SECONDS:
            self.consecutive_opens = self._opens_before_close  # it has only just closed: the pauses go on doubling
        doublings = min(self.consecutive_opens, MOST_DOUBLINGS)
        pause = min(FIRST_PAUSE_SECONDS * 2.0**doublings, LONGEST_PAUSE_SECONDS) * (1 - jitter / 2)
        self.consecutive_opens += 1
        self.open_until = now + max(pause, at_least.total_seconds())
        self.probe_permit_until = float("-inf")
        self.passed = 0

    def _close(self, now: float) -> None:
        self._opens_before_close, self._closed_at = self.consecutive_opens, now
        self.consecutive_opens = self.passed = 0
        # The successful probe counts, so that the next failure is not the only known attempt.
        self._attempts.clear()
        self._record(now, is_failure=False)

    def _record(self, now: float, *, is_failure: bool) -> None:
        self._attempts.append((now, is_failure))

    def _fails_too_often(self, now: float) -> bool:
        recent = [is_failure for moment, is_failure in self._attempts if now - moment < WINDOW_SECONDS]
        is_share_reached = len(recent) >= FEWEST_ATTEMPTS and sum(recent) >= SHARE_OF_FAILURES * len(recent)
        # With fewer than FAILURES_IN_A_ROW attempts in the window, the breaker opens when all of them failed.
        return is_share_reached or all(recent[-FAILURES_IN_A_ROW:])
