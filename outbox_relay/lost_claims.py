"""Claims whose answers were lost: what they have leased is found again, by the token it was asked under.

A server that has committed and cannot say so, as one does whose synchronous standby is away, would else lease
message after message to nobody, until each has lost so many leases that it is taken for poison.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from psycopg.errors import QueryCanceled

from outbox_relay.floor import Place
from outbox_relay.messages import LaneKey

# As the claims themselves pick, but for what hides a leased row from those.
PICK_OWN = """
with picked as materialized (
    select id, due_at
      from outbox_messages
     where channel = %(channel)s and urgency = %(urgency)s and status = 'pending'
       and (due_at, id) >= (%(floor)s, %(floor_id)s) and due_at <= now()
       and id >= %(lowest)s and id <= %(highest)s
       and lease_token = %(lease_token)s
     order by due_at, id
     limit %(limit)s
       for update skip locked)
"""
PICK_OWN_SUSPECT = """
with picked as materialized (
    select id, due_at
      from outbox_messages
     where status = 'pending' and expiries >= 1 and due_at <= now()
       and lease_token = %(lease_token)s
     order by due_at, id
     limit 1
       for update skip locked)
"""


@dataclass(slots=True)
class Grasp:
    """One claim, however many tries it takes; ``lost_from`` is where those began that may hold some unheard."""

    key: LaneKey
    limit: int
    token: UUID = field(default_factory=uuid4)
    lost_from: Place | None = None

    def reaches(self, place: Place) -> None:
        """Note that a try begins there; unless it is answered, it may hold what it found."""
        self.lost_from = place if self.lost_from is None else min(self.lost_from, place)

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Have a try inside; one that took the server too long holds nothing, and to look for it would take as long."""
        try:
            yield
        except QueryCanceled:
            self.lost_from = None
            raise
