"""The retry policy decides what happens after a failed attempt, without IO.

It decides how long to wait before the next attempt, when to give up, and which failures of a provider count as failures
of the message. Deferrals, which cost no attempt, are in ``deferral``. A provider can ask for a delay (Retry-After). The
functions that parse replies (``failures``) limit it to ``failures.network.LONGEST_WAIT``, both for messages and for the
circuit breaker.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from outbox_relay.delivery.deferral import after_provider_failure
from outbox_relay.model import Dead, Failure, FailureClass, Outcome, Retry
from shared.templates import AnyTemplate, Template
from shared.vocabulary import AnyChannel, Channel, DeadReason, RetrySchedule, Work

SHORTEST_DELAY = timedelta(seconds=1)


@dataclass(frozen=True)
class Doubling:
    """Delays that double from ``first`` up to ``cap``."""

    first: timedelta
    cap: timedelta

    def ceiling(self, spent: int) -> timedelta:
        """Return the upper bound of the delay after ``spent`` attempts (1 or more)."""
        # 20 doublings are a factor of a million: more than any cap, and still within the range of timedelta.
        doublings = min(spent - 1, 20)
        return min(self.first * float(2**doublings), self.cap)


@dataclass(frozen=True)
class Steps:
    """Fixed delays for the first attempts; the last delay applies to all later attempts."""

    delays: tuple[timedelta, ...]

    def ceiling(self, spent: int) -> timedelta:
        """Return the upper bound of the delay after ``spent`` attempts (1 or more)."""
        return self.delays[min(spent, len(self.delays)) - 1]


Schedule = Doubling | Steps
"""The upper bounds of the delays between attempts. No message is retried after its ``expires_at``."""


@dataclass(frozen=True)
class Tries:
    """The budget of a message: attempts spent before this attempt, attempts allowed, and seconds until it expires."""

    spent: int
    allowed: int
    seconds_left: float


CODE = Steps(tuple(timedelta(seconds=delay) for delay in (5, 15, 45, 120, 300)))
"""For codes that a person waits for: all codes by SMS, and the codes by e-mail that reset a password or change an
address. A code in an SMS is valid for at most 10 minutes. A code in an e-mail that resets a password or changes an
address is valid for 15 minutes by default, and for an hour at most. The message ``no_account``, which is sent
instead of a code for a reset, has this schedule, too."""

LINK = Doubling(first=timedelta(seconds=30), cap=timedelta(hours=1))
"""For activations, their decoys and invitations by e-mail. Code and link are valid for a day or longer by default, so a
retry after greylisting (minutes) or an outage of the mail server (hours) still arrives in time."""

NOTICE = Doubling(first=timedelta(minutes=1), cap=timedelta(hours=4))
"""For notices, which no person waits for. They expire after three days, so that a mail server that fails over a weekend
can come back in time. A digest for operators expires after 12 hours."""

SCHEDULES: dict[RetrySchedule, Schedule] = {
    RetrySchedule.CODE: CODE,
    RetrySchedule.LINK: LINK,
    RetrySchedule.NOTICE: NOTICE,
}
"""The schedules that a ``template.toml`` names."""

PROVISIONING = Doubling(first=timedelta(seconds=5), cap=timedelta(minutes=10))
"""The first delay is short, because a person waits for the organization. The cap is short, so that a repair of the
cause soon takes effect."""


def schedule_for(template: AnyTemplate, channel: AnyChannel) -> Schedule:
    """Return the retry schedule of a message.

    A template's ``template.toml`` names it for each channel; work on organizations uses PROVISIONING.
    """
    match template:
        case Work.FOUND_ORGANIZATION | Work.REPAIR_ORGANIZATION:
            return PROVISIONING
        case Template():
            return SCHEDULES[template.retry[Channel(channel)]]


def attributed(failure: Failure, *, is_provider_healthy: bool) -> Failure:
    """Return the failure as it counts for the message.

    A provider may reply to one message as if the provider itself had failed, although it accepts other messages. In
    this case it is not down, and the failure counts as a transient failure of the message. If it counted
    as the provider's, a few such messages would open the circuit breaker and stop all others.
    """
    if failure.kind is FailureClass.PROVIDER and failure.is_about_message and is_provider_healthy:
        return replace(failure, kind=FailureClass.TRANSIENT)
    return failure


def after_failure(
    schedule: Schedule, tries: Tries, failure: Failure, *, jitter: float, breaker_remaining: timedelta = timedelta(0)
) -> Outcome:
    """Decide the outcome of a message whose attempt failed; ``jitter`` is from 0 up to 1.

    A failure of the provider costs no attempt; every other failure costs one. The delay is random between zero and the
    ceiling ("full jitter"), but not shorter than ``SHORTEST_DELAY`` or the failure's ``retry_after``. So messages that
    failed together are mostly not retried together (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog
    2015). If the provider asks for a wait, those with a shorter random delay are retried together, after that wait.

    ``breaker_remaining`` is how long the provider's circuit breaker will stay open.
    """
    match failure.kind:
        case FailureClass.RECIPIENT | FailureClass.CONTENT:
            return Dead(DeadReason.REJECTED, failure)
        case FailureClass.PROVIDER:
            return after_provider_failure(failure, breaker_remaining, tries.seconds_left)
        case FailureClass.TRANSIENT:
            return _retry_or_give_up(schedule, tries, failure, jitter)


def _retry_or_give_up(schedule: Schedule, tries: Tries, failure: Failure, jitter: float) -> Outcome:
    """Retry before the message expires.

    Give up if no attempt is left. Also give up if the message expires within the upper bound of the schedule's first
    delay (``ceiling(1)``), or within the wait that the provider asks for (``retry_after``). So a message can be dead as
    expired before its ``expires_at``.
    """
    spent = tries.spent + 1
    if spent >= tries.allowed:
        return Dead(DeadReason.EXHAUSTED, failure)
    shortest = max(failure.retry_after or SHORTEST_DELAY, SHORTEST_DELAY)
    if tries.seconds_left <= max(shortest, schedule.ceiling(1)).total_seconds():
        return Dead(DeadReason.EXPIRED, failure)
    ceiling = min(schedule.ceiling(spent).total_seconds(), tries.seconds_left)
    return Retry(max(timedelta(seconds=ceiling * jitter), shortest), failure)
