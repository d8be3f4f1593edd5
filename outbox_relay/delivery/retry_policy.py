"""The retry policy: all rules about failed attempts, as pure decisions.

The delays and their jitter, how many attempts a message has, when it gives up, and which failures of a provider count
as failures of the message. Deferrals, which cost no attempt, are in ``deferral``. The parsers of Retry-After cap it at
``failures.network.LONGEST_WAIT``, for the circuit breaker too.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

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
        """Return the longest delay after ``spent`` attempts (1 or more)."""
        doublings = min(spent - 1, 20)  # a million times the first: beyond every cap, and short of timedelta's end
        return min(self.first * float(2**doublings), self.cap)


@dataclass(frozen=True)
class Steps:
    """Fixed delays for the first attempts; the last of them applies to all that follow."""

    delays: tuple[timedelta, ...]

    def ceiling(self, spent: int) -> timedelta:
        """Return the longest delay after ``spent`` attempts (1 or more)."""
        return self.delays[min(spent, len(self.delays)) - 1]


Schedule = Doubling | Steps
"""The upper bounds of the delays between attempts."""


class Unknown(StrEnum):
    """What to do if the provider may have accepted the message.

    ``RESEND`` sends it again, with the same Message-ID or Idempotency-Key. ``GIVE_UP`` leaves it to an operator, for
    messages that do more harm when they arrive twice than when they do not arrive.
    """

    RESEND = "resend"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class Policy:
    """How to retry one kind of message; its ``expires_at`` ends it in any case."""

    schedule: Schedule
    unknown: Unknown = Unknown.RESEND


@dataclass(frozen=True)
class Tries:
    """The budget of a message: attempts spent before this attempt, attempts allowed, and seconds until it expires."""

    spent: int
    allowed: int
    seconds_left: float


CODE = Policy(Steps(tuple(timedelta(seconds=delay) for delay in (5, 15, 45, 120, 300))))
"""A person waits at the form. A code in an SMS is valid for at most 10 minutes, in an e-mail for 15 (up to an hour)."""

LINK = Policy(Doubling(first=timedelta(seconds=30), cap=timedelta(hours=1)))
"""The link is valid for a day: greylisting takes minutes, an outage of a mail server hours."""

NOTICE = Policy(Doubling(first=timedelta(minutes=1), cap=timedelta(hours=4)))
"""No person waits for it; within three days even a mail server that fails over a weekend is back."""

POLICIES = {RetrySchedule.CODE: CODE, RetrySchedule.LINK: LINK, RetrySchedule.NOTICE: NOTICE}
"""The policies that a ``template.toml`` names."""

PROVISIONING = Policy(Doubling(first=timedelta(seconds=5), cap=timedelta(minutes=10)))
"""A person waits for the organization; an operator has to look at repeated failures."""


def policy_for(template: AnyTemplate, channel: AnyChannel) -> Policy:
    """Return the policy for such a message, which its ``template.toml`` names for each channel."""
    match template:
        case Work.FOUND_ORGANIZATION | Work.REPAIR_ORGANIZATION:
            return PROVISIONING
        case Template():
            return POLICIES[template.retry[Channel(channel)]]


def attributed(failure: Failure, *, is_provider_healthy: bool) -> Failure:
    """Return the failure as it counts for the message.

    A provider that accepts other messages but replies to this one with a failure that looks like its own is not down:
    the failure counts as transient. To open its circuit breaker would let a few such messages stop all others.
    """
    if failure.kind is FailureClass.PROVIDER and failure.is_reply and is_provider_healthy:
        return replace(failure, kind=FailureClass.TRANSIENT)
    return failure


def after_failure(
    policy: Policy, tries: Tries, failure: Failure, *, jitter: float, breaker_remaining: timedelta = timedelta(0)
) -> Outcome:
    """Decide the outcome of a message whose attempt failed; ``jitter`` is from 0 up to 1.

    Only failures of the message itself cost it an attempt. Delays have full jitter: anything from zero to the
    ceiling, but at least ``SHORTEST_DELAY`` or the failure's ``retry_after``. So messages that failed together do not
    come back together (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog 2015). ``breaker_remaining``
    is how long the provider takes no messages.
    """
    if failure.maybe_accepted and policy.unknown is Unknown.GIVE_UP:
        return Dead(DeadReason.UNKNOWN_OUTCOME, failure)
    match failure.kind:
        case FailureClass.RECIPIENT | FailureClass.CONTENT:
            return Dead(DeadReason.REJECTED, failure)
        case FailureClass.PROVIDER:
            return after_provider_failure(failure, breaker_remaining, tries.seconds_left)
        case FailureClass.TRANSIENT:
            return _retry_or_give_up(policy.schedule, tries, failure, jitter)


def _retry_or_give_up(schedule: Schedule, tries: Tries, failure: Failure, jitter: float) -> Outcome:
    """Retry before the message expires.

    Give up if less is left than the schedule's first delay, or than the shortest delay that the provider allows.
    """
    spent = tries.spent + 1
    if spent >= tries.allowed:
        return Dead(DeadReason.EXHAUSTED, failure)
    shortest = max(failure.retry_after or SHORTEST_DELAY, SHORTEST_DELAY)
    if tries.seconds_left <= max(shortest, schedule.ceiling(1)).total_seconds():
        return Dead(DeadReason.EXPIRED, failure)
    ceiling = min(schedule.ceiling(spent).total_seconds(), tries.seconds_left)
    return Retry(max(timedelta(seconds=ceiling * jitter), shortest), failure)
