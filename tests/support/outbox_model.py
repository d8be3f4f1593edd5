"""A reference model of the outbox in a few lines, for comparison with the real one."""

from dataclasses import dataclass, field
from enum import Enum, auto
from uuid import UUID

from outbox_relay.model import Dead, Deferred, Outcome, Retry, Sent
from shared.vocabulary import DeadReason, Status


class Due(Enum):
    """When a pending message may be claimed."""

    NOW = auto()
    AFTER_THE_LEASE = auto()
    LATER = auto()


@dataclass
class ModelMessage:
    """The expected state of a message."""

    status: Status = Status.PENDING
    dead_reason: DeadReason | None = None
    attempt: int = 0
    lost_leases: int = 0
    lease_token: UUID | None = None
    due: Due = Due.NOW

    def claim(self, lease_token: UUID, *, expires_at_once: bool) -> None:
        self.lost_leases += self.lease_token is not None
        self.lease_token = lease_token
        self.due = Due.NOW if expires_at_once else Due.AFTER_THE_LEASE

    def expire(self) -> None:
        self.due = Due.NOW

    def settle(self, lease_token: UUID, outcome: Outcome) -> bool:
        """Apply `sent` always, other outcomes only under the current lease. Return whether it applied."""
        is_applied = self.status != Status.SENT if isinstance(outcome, Sent) else self.lease_token == lease_token
        if is_applied:
            self.lease_token = None
            self._become(outcome)
        return is_applied

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
        """Return the number of leases lost after the next claim."""
        return self.lost_leases + (self.lease_token is not None)

    @property
    def is_claimable(self) -> bool:
        return self.status == Status.PENDING and self.due is Due.NOW

    @property
    def columns(self) -> tuple[str, str | None, int, int, UUID | None]:
        """Return the columns to compare."""
        return self.status, self.dead_reason, self.attempt, self.lost_leases, self.lease_token


@dataclass
class Model:
    """All committed messages."""

    messages: dict[UUID, ModelMessage] = field(default_factory=dict)

    def claimable(self) -> set[UUID]:
        return {message_id for message_id, message in self.messages.items() if message.is_claimable}

    def dead(self) -> list[UUID]:
        return [message_id for message_id, message in self.messages.items() if message.status == Status.DEAD]
