"""The partition of what is committed now: asked for by its name, a claim begins with one table and not with all.

PostgreSQL begins a statement with a lock on each partition of its plan, whatever it then leaves out: for a message
on its own that is as much as all the rest, and more the longer messages are kept.
"""

from datetime import UTC, datetime, timedelta

TABLE = "outbox_messages"
A_DAY = timedelta(days=1)
A_WHILE = timedelta(minutes=15)
CLOCKS_DIFFER = timedelta(minutes=5)
"""So close to midnight the API's clock may have the other day; ids carry the moment by that."""


class Today:
    """Knows the partition of today, by UTC, unless it is too near midnight for it or the partition cannot be used."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._since = self._until = datetime.min.replace(tzinfo=UTC)

    def partition(self, now: datetime) -> str | None:
        """Return its name; ``now`` is in UTC."""
        if not self._since <= now < self._until:
            self._look_up(now)
        return self._name

    def leave_for_a_while(self, now: datetime) -> None:
        """Do without it: it is not there, may not be used or takes too long."""
        self._name = None
        self._since, self._until = now, min(self._until, now + A_WHILE)

    def _look_up(self, now: datetime) -> None:
        """Find out what holds at that moment, and until when: written out for each claim it would be a tenth of it."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        begins, ends = midnight + CLOCKS_DIFFER, midnight + A_DAY - CLOCKS_DIFFER
        if now < begins:
            self._since, self._until, self._name = midnight, begins, None
        elif now < ends:
            self._since, self._until, self._name = begins, ends, f"{TABLE}_{now:%Y%m%d}"
        else:
            self._since, self._until, self._name = ends, midnight + A_DAY, None
