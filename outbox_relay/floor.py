"""Where claims begin to look in the due index, so that they do not read again what was settled long ago."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from outbox_relay.messages import ClaimedMessage

Place = tuple[datetime, UUID]
"""The position of a message in the due index: when it is due, then its id."""

NO_ID = UUID(int=0)
BEFORE_EVERYTHING: Place = (datetime.min.replace(tzinfo=UTC), NO_ID)
FLOOR_MARGIN = timedelta(seconds=1)
"""How long after its now() a transaction may commit and still be seen by the claims that follow, without a sweep."""

SWEEP_SECONDS = 5.0
LATENESS_SECONDS = 0.5
"""How late the last turn may have been without the next one being skipped for coming too early."""
REST_IN_SWEEPS = 50
MAX_IDLE_SECONDS = 60.0
"""After a sweep there is none for 50 times its duration, a minute at most: sweeps take 2 % of a lane's time."""


def rest_after(seconds: float) -> float:
    """Return for how many seconds the head of the due index is not read again after reading it took so long."""
    return min(REST_IN_SWEEPS * seconds, MAX_IDLE_SECONDS)


@dataclass
class ScanFloor:
    """Where in the due index a claim begins to look.

    A busy outbox leaves dead index entries before its oldest pending row, and no vacuum can remove them while an
    old transaction is open; each claim from the index's head would read all of them. So claims begin where the
    last one stopped, or a little before it. A sweep from the head every few seconds finds what was
    committed late, what was put back further down, and whose lease was lost. A long sweep is followed by a long rest.
    """

    place: Place = BEFORE_EVERYTHING
    next_sweep: float = float("-inf")

    def next(self, now: float) -> Place:
        """Return where to begin at that moment of a monotonic clock."""
        if now < self.next_sweep:
            return self.place
        self.next_sweep = now + SWEEP_SECONDS - LATENESS_SECONDS
        return BEFORE_EVERYTHING

    def sweep_soon(self) -> None:
        """Have the next claim begin before everything."""
        self.next_sweep = float("-inf")

    def took(self, began_at: Place, began: float, ended: float) -> None:
        """Note how long the server took for a claim; if another sweep was asked for meanwhile, that stands.

        Call it also for a claim that the server cancelled for its duration, but for no other failure.
        """
        if began_at == BEFORE_EVERYTHING and self.next_sweep > began:
            self.next_sweep = max(self.next_sweep, ended + rest_after(ended - began))

    def reached(self, place: Place, began_at: Place) -> None:
        """Note that everything between ``began_at`` and ``place`` was seen.

        The floor rises; only a sweep, which began before everything, may lower it: to go on with a
        backlog that was committed late.
        """
        self.place = place if began_at == BEFORE_EVERYTHING else max(self.place, place)


def seen_until(messages: Collection[ClaimedMessage], limit: int, claimed_at: datetime) -> Place:
    """Return the place up to which a claim has seen whatever was committed within the margin."""
    before = claimed_at - FLOOR_MARGIN, NO_ID
    if len(messages) < limit:
        return before
    return min(before, max((message.due_at, message.id) for message in messages))
