"""Circuit breaker: while a provider is down, it gets only probes. Other messages wait or use another one."""

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
NOTHING = timedelta(0)

WINDOW_SECONDS = 30.0
WINDOW_ATTEMPTS = 100
SHARE_OF_FAILURES = 0.5
"""This share of failed attempts in the window opens the breaker."""
FEWEST_ATTEMPTS = 10
"""With fewer attempts in the window, their share of failures is ignored: one or two broken connections among successes
are normal."""
FAILURES_IN_A_ROW = 5
"""This many failures in a row open the breaker, even if many attempts before them succeeded. So a stopped server is
noticed soon. If the window has fewer attempts, the breaker opens when each of them failed: a single failure is enough
if it is the only attempt."""
MOST_DOUBLINGS = 16
"""After this many doublings, the pause has long reached its cap."""


class BreakerState(StrEnum):
    """Closed: messages pass. Open: no message passes. Half open: one message at a time, or a login, is a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class CircuitBreaker:
    """Opens when too many of a provider's last attempts failed, and closes when a probe succeeds.

    An attempt is here a login or a submission, and it failed if the provider is at fault (FailureClass.PROVIDER).
    The caller passes times of a monotonic clock. Pauses double with ``consecutive_opens``. Until
    ``probe_permit_until``, this process may send probes. Only one of all relays may do so at a time.
    """

    consecutive_opens: int = 0
    open_until: float = 0.0
    probe_permit_until: float = float("-inf")
    _attempts: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=WINDOW_ATTEMPTS))
    _opens_before_close: int = 0
    _closed_at: float = float("-inf")

    def state(self, now: float) -> BreakerState:
        """Return the state at that time."""
        if not self.consecutive_opens:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.open_until else BreakerState.HALF_OPEN

    def has_probe_permit(self, now: float) -> bool:
        """Return whether this process may probe."""
        return now < self.probe_permit_until

    def half_open_for(self, now: float) -> float:
        """Return for how many seconds it has been half open."""
        return now - self.open_until if self.state(now) is BreakerState.HALF_OPEN else 0.0

    def remaining(self, now: float) -> timedelta:
        """Return how long the breaker will stay open after ``now``."""
        return timedelta(seconds=max(self.open_until - now, 0.0) if self.consecutive_opens else 0.0)

    def failed(self, now: float, *, jitter: float, at_least: timedelta = NOTHING) -> bool:
        """Record a failure; return whether it opened the breaker or extended the time that it stays open.

        The breaker opens in each of these cases: the provider asks for a pause (``at_least``); a probe fails; the last
        FAILURES_IN_A_ROW attempts failed (or all, if there were fewer); at least SHARE_OF_FAILURES of the attempts
        failed, and there were at least FEWEST_ATTEMPTS. Only attempts of the last WINDOW_SECONDS count. A failure that
        arrives while the breaker is open has no effect, unless the provider asks for a longer pause.
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

        A success while the breaker is open is ignored, because its message was submitted before the breaker opened.
        """
        match self.state(now):
            case BreakerState.CLOSED:
                self._record(now, is_failure=False)
                return False
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                self._close(now)
                return True

    def adopt(self, now: float, consecutive_opens: int, open_for: float) -> None:
        """Adopt the shared state: open for ``open_for`` more seconds, or closed if ``consecutive_opens`` is 0.

        A negative ``open_for`` is the time since it became half open.
        """
        if not consecutive_opens and self.consecutive_opens:
            self._close(now)
        elif consecutive_opens:
            self.consecutive_opens = consecutive_opens
            self.open_until = now + open_for

    def _open(self, now: float, jitter: float, at_least: timedelta) -> None:
        """Open for a second at first and twice as long each further time, up to LONGEST_PAUSE_SECONDS.

        ``jitter`` (0 to 1) shortens the pause by up to half, and ``at_least`` may lengthen it.
        """
        if not self.consecutive_opens and now - self._closed_at < WINDOW_SECONDS:
            # The breaker closed only a short time ago: continue with the doubled pauses.
            self.consecutive_opens = self._opens_before_close
        doublings = min(self.consecutive_opens, MOST_DOUBLINGS)
        pause = min(FIRST_PAUSE_SECONDS * 2.0**doublings, LONGEST_PAUSE_SECONDS) * (1 - jitter / 2)
        self.consecutive_opens += 1
        self.open_until = now + max(pause, at_least.total_seconds())
        self.probe_permit_until = float("-inf")

    def _close(self, now: float) -> None:
        self._opens_before_close, self._closed_at = self.consecutive_opens, now
        self.consecutive_opens = 0
        # Record the successful probe; otherwise, the next failure would be the only attempt in the window and open the
        # breaker again.
        self._attempts.clear()
        self._record(now, is_failure=False)

    def _record(self, now: float, *, is_failure: bool) -> None:
        self._attempts.append((now, is_failure))

    def _fails_too_often(self, now: float) -> bool:
        recent = [is_failure for moment, is_failure in self._attempts if now - moment < WINDOW_SECONDS]
        is_share_reached = len(recent) >= FEWEST_ATTEMPTS and sum(recent) >= SHARE_OF_FAILURES * len(recent)
        # With fewer than FAILURES_IN_A_ROW attempts in the window, the breaker opens when all of them failed.
        return is_share_reached or all(recent[-FAILURES_IN_A_ROW:])
