"""Telling a relay that is stuck from one that waits for a database, or for the morning."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from outbox_relay.model import LateQueue, Progress

TRY_MARGIN = timedelta(minutes=3)
"""Above the longest that one try at the database takes: by default, PgBouncer lets it wait for two minutes."""


class Phase(StrEnum):
    """What the relay is doing, in a person's words."""

    STARTING = "Starting"
    CLAIMING = "Claiming"
    RELOADING = "Reloading"
    STOPPING = "Stopping"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a lane may go without looking for messages, and without settling any of those it holds."""

    between_looks: timedelta
    between_settles: timedelta


def patience(poll: timedelta, longest_in_hand: timedelta) -> Patience:
    """Return how long a lane may stand still.

    Each poll makes it look, and no letter is in hand for longer than ``longest_in_hand``.
    """
    return Patience(poll + TRY_MARGIN, longest_in_hand + TRY_MARGIN)


class StallDetector:
    """Counts the beats in which a lane has not moved, rather than seconds: a stopped process made no beats."""

    def __init__(self, limits: Patience, beat: timedelta) -> None:
        self._limits = limits
        self._beat = beat
        self._last = (Progress(0, 0, 0), 0)
        self._beats_without_look = 0
        self._beats_without_settle = 0

    def is_stuck_after(self, pulse: Progress, failures: int) -> bool:
        """Take the pulse at a beat and decide. ``failures`` counts tries at the database that failed.

        While it is away nothing moves but these, and restarting would not bring it back.
        """
        last, last_failures = self._last
        self._last = (pulse, failures)
        is_trying = failures != last_failures
        has_looked = is_trying or pulse.looks != last.looks or pulse.is_stopping
        has_settled = is_trying or pulse.settled != last.settled or pulse.held == 0
        self._beats_without_look = 0 if has_looked else self._beats_without_look + 1
        self._beats_without_settle = 0 if has_settled else self._beats_without_settle + 1
        return (
            self._beats_without_look * self._beat > self._limits.between_looks
            or self._beats_without_settle * self._beat > self._limits.between_settles
        )


class Readiness(NamedTuple):
    """What a relay lacks to do its work, and what it waits for without any fault of its own."""

    missing: list[str]
    held: list[str]


def readiness(lates: Iterable[LateQueue], *, is_away: bool) -> Readiness:
    """Decide what is wrong: a lane that is late and could deliver; one that is held back is only told of."""
    missing = ["database"] if is_away else []
    held: list[str] = []
    for lane in lates:
        if lane.blocked_by:
            held += [f"{lane.name}: {blocked_by}" for blocked_by in lane.blocked_by]
        else:
            missing.append(f"{lane.name}: a message has been due for {lane.lag:.0f} seconds")
    return Readiness(missing, held)


def status_line(phase: Phase, pulses: Sequence[Progress], lost_since: datetime | None) -> str:
    """Return what a person who asks `systemctl status` is told."""
    doing = f"{phase}, database lost since {lost_since:%Y-%m-%d %H:%M:%S} UTC" if lost_since else phase.value
    return f"{doing}; {sum(pulse.held for pulse in pulses)} in hand"
