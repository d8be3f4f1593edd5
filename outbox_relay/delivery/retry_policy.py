"""When to try again, and when not to: pure decisions about a failed attempt."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from outbox_relay.model import Dead, Deferred, Failure, FailureClass, Outcome, Retry
from shared.vocabulary import AnyChannel, AnyTemplate, Channel, DeadReason, Template, Work

PROVIDER_PAUSE = timedelta(seconds=5)
"""How long a message waits after a provider's failure, unless the provider or its breaker says longer."""

SHORTEST_DELAY = timedelta(seconds=1)


class Schedule(Protocol):
    """How long a message waits at most before each attempt but its first."""

    def ceiling(self, spent: int) -> timedelta:
        """Return the longest delay after ``spent`` attempts (1 or more)."""


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
    """Delays of their own for the first attempts; the last of them goes for all that follow."""

    delays: tuple[timedelta, ...]

    def ceiling(self, spent: int) -> timedelta:
        """Return the longest delay after ``spent`` attempts (1 or more)."""
        return self.delays[min(spent, len(self.delays)) - 1]


class Unknown(StrEnum):
    """What to do when nobody knows whether the provider has the letter.

    ``RESEND`` sends it again, under the same Message-ID or Idempotency-Key; ``GIVE_UP`` leaves it to an
    operator: for what does more harm when it comes twice than when it does not come.
    """

    RESEND = "resend"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class Policy:
    """How hard to try for one kind of message; its ``expires_at`` ends it in any case."""

    schedule: Schedule
    unknown: Unknown = Unknown.RESEND


@dataclass(frozen=True)
class Tries:
    """What a message has left: attempts spent before this one, those allowed, and its life."""

    spent: int
    allowed: int
    seconds_left: float


CODE = Policy(Steps(tuple(timedelta(seconds=delay) for delay in (5, 15, 45, 120, 300))))
"""Someone sits before the form and waits; the code works for ten minutes."""

LINK = Policy(Doubling(first=timedelta(seconds=30), cap=timedelta(hours=1)))
"""It works for a day: greylisting takes minutes, a mail server's bad day takes hours."""

NOTICE = Policy(Doubling(first=timedelta(minutes=1), cap=timedelta(hours=4)))
"""Nobody waits for it; three days are what a mail server's long weekend takes."""


PROVISIONING = Policy(Doubling(first=timedelta(seconds=5), cap=timedelta(minutes=10)))
"""Someone waits for their organization; what fails again and again by its own fault is an operator's to look at."""


def policy_for(template: AnyTemplate, channel: AnyChannel) -> Policy:
    """Return how hard to try for such a message.

    Whoever registered sees the attempts made. So what tells of an account that exists already is tried
    exactly like a code: a difference would tell strangers which addresses are taken.
    """
    match template:
        case Template.ACTIVATION | Template.ACCOUNT_EXISTS:
            return CODE if channel is Channel.SMS else LINK
        case Template.PASSWORD_RESET | Template.NO_ACCOUNT | Template.ADDRESS_CHANGE:
            return CODE
        case Template.WELCOME | Template.PASSWORD_CHANGED | Template.ADDRESS_CHANGED | Template.OPERATOR_DIGEST:
            return NOTICE
        case Template.ORGANIZATION_FAILED:
            return NOTICE
        case Work.FOUND_ORGANIZATION | Work.REPAIR_ORGANIZATION:
            return PROVISIONING


def after_failure(policy: Policy, tries: Tries, failure: Failure, *, jitter: float) -> Outcome:
    """Decide what becomes of a message whose attempt failed; ``jitter`` is from 0 up to 1.

    Only the message's own faults cost it an attempt. Delays have full jitter: anything between
    nothing and the ceiling, so that what failed together does not come back together
    (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog 2015).
    """
    if failure.maybe_accepted and policy.unknown is Unknown.GIVE_UP:
        return Dead(DeadReason.UNKNOWN_OUTCOME, failure)
    match failure.kind:
        case FailureClass.RECIPIENT | FailureClass.CONTENT:
            return Dead(DeadReason.REJECTED, failure)
        case FailureClass.PROVIDER:
            return _deferred(tries, failure)
        case FailureClass.TRANSIENT:
            return _retry_or_give_up(policy.schedule, tries, failure, jitter)


def _deferred(tries: Tries, failure: Failure) -> Outcome:
    """Come back when its life ends at the latest, so that what has expired is told as such and in time."""
    pause = failure.retry_after or PROVIDER_PAUSE
    left = max(tries.seconds_left, 0.0)
    return Deferred(pause if pause.total_seconds() <= left else timedelta(seconds=left), failure)


def _retry_or_give_up(schedule: Schedule, tries: Tries, failure: Failure, jitter: float) -> Outcome:
    """Try within what is left of its life, unless that is less than even the first delay may be."""
    spent = tries.spent + 1
    if spent >= tries.allowed:
        return Dead(DeadReason.EXHAUSTED, failure)
    patience = max(failure.retry_after or SHORTEST_DELAY, SHORTEST_DELAY)
    if tries.seconds_left <= max(patience, schedule.ceiling(1)).total_seconds():
        return Dead(DeadReason.EXPIRED, failure)
    ceiling = min(schedule.ceiling(spent).total_seconds(), tries.seconds_left)
    return Retry(max(timedelta(seconds=ceiling * jitter), patience), failure)
