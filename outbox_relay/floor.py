"""Where claims begin to look in the due index, so that they do not walk over what was settled long ago."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from outbox_relay.messages import ClaimedMessage
from shared.uuid7 import EPOCH, uuid7_floor

Place = tuple[datetime, UUID]
"""Where a message stands in the due index: when it is due, then its id."""

NO_ID = UUID(int=0)
ANY_ID = NO_ID, UUID(int=(1 << 128) - 1)
"""The lowest and the highest id."""
BEFORE_EVERYTHING: Place = (datetime.min.replace(tzinfo=UTC), NO_ID)
FLOOR_MARGIN = timedelta(seconds=1)
"""How long after its now() a transaction may commit and still be seen by the claims that follow, without a sweep."""

NEAR_PAST = timedelta(days=2)
NEAR_FUTURE = timedelta(days=1)
"""Which ids a claim asks for: of what was made so long before it is due, or so long after, by a clock that is wrong."""
FIRST_DUE = EPOCH + NEAR_PAST
"""No id tells of a moment before 1970; a due_at may, where someone has set it by hand."""

SWEEP_SECONDS = 5.0
LATENESS_SECONDS = 0.5
"""What the last turn may have been late, so that the next is not left out for coming in time."""
REST_IN_SWEEPS = 50
LONGEST_REST_SECONDS = 60.0
"""A sweep is followed by so many times its own length without, a minute at most: it takes up 2 % of a lane's time."""


def rest_after(seconds: float) -> float:
    """Return how long what reads from the head of the due index is left alone after it took so long, in seconds."""
    return min(REST_IN_SWEEPS * seconds, LONGEST_REST_SECONDS)


def ids_near(due_at: datetime, now: datetime) -> tuple[UUID, UUID]:
    """Return the lowest and the highest id that is to be expected of what is due then or later."""
    return uuid7_floor(max(due_at, FIRST_DUE) - NEAR_PAST), uuid7_floor(max(due_at, now) + NEAR_FUTURE)


def is_far(message: ClaimedMessage, now: datetime) -> bool:
    """Tell whether claims that ask for what is near would miss the message."""
    lowest, highest = ids_near(message.due_at, now)
    return not lowest <= message.id <= highest


@dataclass
class ScanFloor:
    """Where in the due index a claim begins to look.

    A busy outbox leaves dead index entries behind its oldest pending row, and while any old
    transaction is open no vacuum can take them away; each claim from the index's head would walk
    over all of them. So claims begin where the last one stopped, or a little before it, and a sweep
    from the head every few seconds finds what was committed late, what was put back further down, and
    whose lease was lost. One that turns out long is followed by a long rest.

    They ask for ids that are near, too, which spares them all partitions but those of a few days: to begin with those
    of ninety days takes longer than all the rest. A sweep asks for any; where it finds some that are far, or somebody
    has told of some, such as whoever requeued them, so do the claims up to the next one.
    """

    place: Place = BEFORE_EVERYTHING
    fresh: Place = BEFORE_EVERYTHING
    """Up to where today's partition was seen; a sweep lowers it only where the server's clock was set back."""
    nothing_at: float | None = None
    """When the last claim of anything began, by a monotonic clock, if it found nothing."""
    next_sweep: float = float("-inf")
    has_far: bool = False

    def next(self, now: float) -> Place:
        """Return where to begin at that moment of a monotonic clock."""
        if not self.is_sweep_due(now):
            return self.place
        self.next_sweep = now + SWEEP_SECONDS - LATENESS_SECONDS
        self.has_far = False  # now, and not when the sweep is over: it misses what somebody tells of meanwhile
        return BEFORE_EVERYTHING

    def is_sweep_due(self, now: float) -> bool:
        """Tell whether a claim that begins then is a sweep."""
        return now >= self.next_sweep

    def ids(self, began_at: Place, now: datetime) -> tuple[UUID, UUID]:
        """Return the lowest and the highest id that a claim asks for which begins there."""
        if self.has_far or began_at == BEFORE_EVERYTHING:
            return ANY_ID
        return ids_near(began_at[0], now)

    def expect_far(self) -> None:
        """Have claims ask for any id until a sweep that begins later has found nothing far."""
        self.has_far = True

    def sweep_soon(self) -> None:
        """Have the next claim begin before everything."""
        self.next_sweep = float("-inf")

    def took(self, began_at: Place, began: float, ended: float) -> None:
        """Note how long the server took for a claim; if another sweep was asked for meanwhile, that stands.

        One that failed without the server's having had enough of it tells nothing of what the next will take.
        """
        if began_at == BEFORE_EVERYTHING and self.next_sweep > began:
            self.next_sweep = max(self.next_sweep, ended + rest_after(ended - began))

    def found(self, messages: Collection[ClaimedMessage], began_at: Place, now: datetime) -> None:
        """Note whether a sweep has found what is far."""
        if began_at == BEFORE_EVERYTHING:
            self.has_far |= any(is_far(message, now) for message in messages)

    def found_nothing(self, began: float) -> None:
        """Note that a claim of anything has, which began then."""
        self.nothing_at = began

    def reached(self, place: Place, began_at: Place, claimed_at: datetime) -> None:
        """Note that everything between ``began_at`` and ``place`` was seen, at that time by the server's clock.

        The floor rises; only a sweep, which began before everything, may lower it: to go on with a
        backlog that was committed late.
        """
        self.place = place if began_at == BEFORE_EVERYTHING else max(self.place, place)
        self.fresh = min(max(self.fresh, place), just_before(claimed_at))
        self.nothing_at = None

    def reached_today(self, place: Place, claimed_at: datetime, now: float) -> None:
        """Note that everything up to there was seen of today's partition, by a claim that is answered now.

        It tells the server's time as well, which a claim that finds nothing does not: where the last claim of anything
        found nothing, everything was seen up to when it began.
        """
        self.fresh = max(self.fresh, place)
        if self.nothing_at is not None:
            seen = claimed_at - timedelta(seconds=now - self.nothing_at) - FLOOR_MARGIN
            self.place = max(self.place, (seen, NO_ID))


def seen_until(messages: Collection[ClaimedMessage], limit: int, claimed_at: datetime) -> Place:
    """Return the place up to which a claim has seen whatever was committed within the margin."""
    if len(messages) < limit:
        return just_before(claimed_at)
    return min(just_before(claimed_at), max((message.due_at, message.id) for message in messages))


def just_before(claimed_at: datetime) -> Place:
    """Return the highest place up to which a claim at that time can have seen everything."""
    return claimed_at - FLOOR_MARGIN, NO_ID
