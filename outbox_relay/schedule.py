"""When to try again, and when not to: pure decisions about a failed attempt."""

from dataclasses import dataclass
from datetime import timedelta

from outbox_relay.outcomes import Dead, Deferred, Failure, FailureClass, Outcome, Retry
from shared.vocabulary import DeadReason, Template

PROVIDER_PAUSE = timedelta(seconds=5)
"""How long a message waits after a provider's failure, unless the provider or its breaker says longer."""

SHORTEST_DELAY = timedelta(seconds=1)


@dataclass(frozen=True)
class Schedule:
    """Delays that double from ``first`` up to ``cap``."""

    first: timedelta
    cap: timedelta

    def ceiling(self, spent: int) -> timedelta:
        """Return the longest delay after ``spent`` attempts (1 or more)."""
        doublings = min(spent - 1, 32)  # beyond that every cap is reached, and timedelta overflows
        return min(self.first * float(2**doublings), self.cap)


@dataclass(frozen=True)
class Tries:
    """What a message has left: attempts spent before this one, those allowed, and its life."""

    spent: int
    allowed: int
    seconds_left: float


SCHEDULES = {
    Template.ACTIVATION: Schedule(first=timedelta(seconds=10), cap=timedelta(hours=1)),
    Template.ACCOUNT_EXISTS: Schedule(first=timedelta(seconds=10), cap=timedelta(hours=1)),
}


def after_failure(schedule: Schedule, tries: Tries, failure: Failure, *, dice: float) -> Outcome:
    """Decide what becomes of a message whose attempt failed; ``dice`` is from 0 up to 1.

    Only the message's own faults cost it an attempt. Delays have full jitter: anything between
    nothing and the ceiling, so that what failed together does not come back together
    (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog 2015).
    """
    match failure.kind:
        case FailureClass.RECIPIENT | FailureClass.CONTENT:
            return Dead(DeadReason.REJECTED, failure)
        case FailureClass.PROVIDER:
            return Deferred(failure.retry_after or PROVIDER_PAUSE, failure)
        case FailureClass.TRANSIENT:
            return _retry_or_give_up(schedule, tries, failure, dice)


def _retry_or_give_up(schedule: Schedule, tries: Tries, failure: Failure, dice: float) -> Outcome:
    spent = tries.spent + 1
    if spent >= tries.allowed:
        return Dead(DeadReason.EXHAUSTED, failure)
    delay = max(schedule.ceiling(spent) * dice, failure.retry_after or SHORTEST_DELAY, SHORTEST_DELAY)
    if delay.total_seconds() >= tries.seconds_left:
        return Dead(DeadReason.EXPIRED, failure)
    return Retry(delay, failure)
