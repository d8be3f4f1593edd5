"""What the outbox should do, in a few lines: the reference that the real one is held against."""

from dataclasses import dataclass, field
from enum import Enum, auto
from uuid import UUID

from outbox_relay.model import Dead, Deferred, Outcome, Retry, Sent
from shared.vocabulary import DeadReason, Status


class Due(Enum):
    """When a pending message may be claimed."""

    NOW = auto()
    AFTER_ITS_LEASE = auto()
    LATER = auto()


@dataclass
class ModelMessage:
    """A message as it should stand."""

    status: Status = Status.PENDING
    dead_reason: DeadReason | None = None
    attempt: int = 0
    lost_leases: int = 0
    lease_token: UUID | None = None
    due: Due = Due.NOW

    def claim(self, lease_token: UUID, *, is_over_at_once: bool) -> None:
        self.lost_leases += self.lease_token is not None
        self.lease_token = lease_token
        self.due = Due.NOW if is_over_at_once else Due.AFTER_ITS_LEASE

    def expire(self) -> None:
        self.due = Due.NOW

    def settle(self, lease_token: UUID, outcome: Outcome) -> bool:
        """Take the outcome where it may be written: a fact always, a belief under the lease; tell whether it was."""
        is_written = self.status != Status.SENT if isinstance(outcome, Sent) else self.lease_token == lease_token
        if is_written:
            self.lease_token = None
            self._become(outcome)
        return is_written

    def _become(self, outcome: Outcome) -> None:
        match outcome:
            case Sent():
                self.status, self.dead_reason = Status.SENT, None
                self.attempt += 1
            case Retry():
                self.attempt += 1
                self.lost_leases = 0
                self.due = Due.LATER
            case Deferred():
                self.due = Due.NOW
            case Dead():
                self.status, self.dead_reason = Status.DEAD, outcome.reason
                self.attempt += outcome.failure is not None

    def requeue(self) -> None:
        self.status, self.dead_reason = Status.PENDING, None
        self.attempt = self.lost_leases = 0
        self.due = Due.NOW

    def discard(self) -> None:
        self.dead_reason = DeadReason.DISCARDED

    @property
    def lost_once_claimed(self) -> int:
        """Return how many leases it has lost once it is claimed again."""
        return self.lost_leases + (self.lease_token is not None)

    @property
    def is_claimable(self) -> bool:
        return self.status == Status.PENDING and self.due is Due.NOW

    @property
    def standing(self) -> tuple[str, str | None, int, int, UUID | None]:
        """Return the columns by which it is compared."""
        return self.status, self.dead_reason, self.attempt, self.lost_leases, self.lease_token


@dataclass
class Model:
    """All messages that were committed."""

    messages: dict[UUID, ModelMessage] = field(default_factory=dict)

    def claimable(self) -> set[UUID]:
        return {message_id for message_id, message in self.messages.items() if message.is_claimable}

    def dead(self) -> list[UUID]:
        return [message_id for message_id, message in self.messages.items() if message.status == Status.DEAD]
