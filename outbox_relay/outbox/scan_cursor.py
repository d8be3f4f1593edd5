"""The position in the due index from which claims scan, so that they skip index entries of settled messages."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from outbox_relay.model import ClaimedMessage

IndexPosition = tuple[datetime, UUID]
"""The position of a message in the due index: its ``due_at``, then its id."""

NO_ID = UUID(int=0)
START_OF_INDEX: IndexPosition = (datetime.min.replace(tzinfo=UTC), NO_ID)
COMMIT_MARGIN = timedelta(seconds=1)
"""A transaction that commits within this time of its now() is found by the following claims without a full scan."""

FULL_SCAN_SECONDS = 5.0
LATENESS_SECONDS = 0.5
"""How late the last full scan may have been without the next one being skipped for coming too early."""
REST_IN_FULL_SCANS = 50
LONGEST_REST_SECONDS = 60.0
"""After a full scan follows a rest of 50 times its duration, at most a minute: full scans take 2 % of the time."""


def rest_after(seconds: float) -> float:
    """Return for how many seconds to avoid the start of the due index after a scan of it that took so long."""
    return min(REST_IN_FULL_SCANS * seconds, LONGEST_REST_SECONDS)


@dataclass
class ClaimCursor:
    """Where in the due index the next claim of one queue begins to scan.

    A busy outbox leaves dead index entries before its oldest pending row, and vacuum cannot remove them while an
    old transaction is open. A claim from the start of the index would read all of them. So a claim begins where the
    last one stopped, or a little before. A full scan from the start of the index, every few seconds, finds messages
    that were committed late, released to their old place, or lost their lease.
    """

    position: IndexPosition = START_OF_INDEX
    next_full_scan: float = float("-inf")

    def next(self, now: float) -> IndexPosition:
        """Return where to begin; ``now`` is on a monotonic clock."""
        if now < self.next_full_scan:
            return self.position
        self.next_full_scan = now + FULL_SCAN_SECONDS - LATENESS_SECONDS
        return START_OF_INDEX

    def request_full_scan(self) -> None:
        """Make the next claim begin at the start of the index."""
        self.next_full_scan = float("-inf")

    def took(self, begin_at: IndexPosition, started: float, ended: float) -> None:
        """Record how long the server took for a claim. A full scan requested in the meantime stays requested.

        Call it also for a claim that the server cancelled for its duration, but for no other failure.
        """
        if begin_at == START_OF_INDEX and self.next_full_scan > started:
            self.next_full_scan = max(self.next_full_scan, ended + rest_after(ended - started))

    def advance(self, position: IndexPosition, begin_at: IndexPosition) -> None:
        """Record that a claim has seen everything between ``begin_at`` and ``position``.

        Only a full scan may move the cursor back: claims then continue with a backlog that was committed late.
        """
        self.position = position if begin_at == START_OF_INDEX else max(self.position, position)


def seen_until(messages: Collection[ClaimedMessage], limit: int, claimed_at: datetime) -> IndexPosition:
    """Return the position before which a claim has seen everything that was committed within the margin."""
    before = claimed_at - COMMIT_MARGIN, NO_ID
    if len(messages) < limit:
        return before
    return min(before, max((message.due_at, message.id) for message in messages))
