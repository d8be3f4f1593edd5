"""Detects a stuck relay. An idle relay, or one that waits for its database, is not stuck. No IO."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from outbox_relay.model import LateQueue, Progress

TRY_MARGIN = timedelta(minutes=3)
"""Longer than one try at the database can take. By default, PgBouncer may let a connection wait for two minutes."""


class Phase(StrEnum):
    """The phase of the relay's life, for operators."""

    STARTING = "Waiting for the database"
    CLAIMING = "Claiming"
    RELOADING = "Reloading"
    STOPPING = "Stopping"


@dataclass(frozen=True, slots=True)
class StallLimits:
    """Two limits for a consumer, which is stuck if it exceeds either of them.

    They are the longest time between two looks for messages, and the longest time between two settlements while
    messages are held.
    """

    between_looks: timedelta
    between_settles: timedelta


def stall_limits(poll: timedelta, longest_hold: timedelta) -> StallLimits:
    """Return the limits.

    They follow from two facts: each poll makes a consumer look, and no delivery takes longer than ``longest_hold``.
    """
    return StallLimits(poll + TRY_MARGIN, longest_hold + TRY_MARGIN)


class StallDetector:
    """Counts watchdog intervals without progress of one consumer.

    It counts intervals and not seconds: while the process is suspended, seconds pass, but no interval is counted.
    """

    def __init__(self, limits: StallLimits, interval: timedelta) -> None:
        self._limits = limits
        self._interval = interval
        self._last = (Progress(0, 0, 0), 0)
        self._intervals_without_look = 0
        self._intervals_without_settle = 0

    def is_stuck_after(self, progress: Progress, failures: int) -> bool:
        """Take the progress at the end of an interval, and return whether the consumer is stuck.

        ``failures`` is the number of failed tries at the database. If it grows, the relay is waiting for the database
        and is not stuck; a restart would not help.
        """
        last, last_failures = self._last
        self._last = (progress, failures)
        is_trying = failures != last_failures
        has_looked = is_trying or progress.looks != last.looks or progress.is_stopping
        has_settled = is_trying or progress.settled != last.settled or progress.held == 0
        self._intervals_without_look = 0 if has_looked else self._intervals_without_look + 1
        self._intervals_without_settle = 0 if has_settled else self._intervals_without_settle + 1
        return (
            self._intervals_without_look * self._interval > self._limits.between_looks
            or self._intervals_without_settle * self._interval > self._limits.between_settles
        )


class Readiness(NamedTuple):
    """Why a relay is not ready (``missing``), and causes outside the relay that block messages (``held``)."""

    missing: list[str]
    held: list[str]


def readiness(late_queues: Iterable[LateQueue], *, is_away: bool, is_schema_behind: bool) -> Readiness:
    """Decide on readiness: a late queue counts as missing, unless something outside the relay blocks it."""
    missing = [name for name, is_missing in (("database", is_away), ("schema", is_schema_behind)) if is_missing]
    held: list[str] = []
    for queue in late_queues:
        if queue.blocked_by:
            held += [f"{queue.name}: {reason}" for reason in queue.blocked_by]
        else:
            missing.append(f"{queue.name}: a message has been due for {queue.lag:.0f} seconds")
    return Readiness(missing, held)


def status_line(phase: Phase, progress: Sequence[Progress], lost_since: datetime | None) -> str:
    """Return the line that `systemctl status` shows."""
    since = f" since {lost_since:%Y-%m-%d %H:%M:%S} UTC" if lost_since else ""
    is_known = phase is Phase.STARTING or not since
    doing = f"{phase}{since}" if is_known else f"{phase}, database lost{since}"
    return f"{doing}; {sum(each.held for each in progress)} messages in progress"
