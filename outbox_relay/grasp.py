"""A claim, however many tries it takes: what one has leased whose answer was lost is found again, by its token.

A server that has committed and cannot say so, as one does whose synchronous standby is away, would else lease
message after message to nobody, until each has lost so many leases that it is taken for poison.
"""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from outbox_relay.floor import Place
from outbox_relay.messages import LaneKey


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

    def forget(self) -> None:
        """Forget the tries: one that took the server too long holds nothing, and to look for it would take as long."""
        self.lost_from = None
