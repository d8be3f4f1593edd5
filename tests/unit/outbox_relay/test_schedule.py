from datetime import timedelta

import pytest

from outbox_relay.outcomes import Dead, Deferred, Failure, FailureClass, Retry
from outbox_relay.schedule import SCHEDULES, Schedule, Tries, after_failure
from shared.vocabulary import DeadReason, Template

SCHEDULE = Schedule(first=timedelta(seconds=10), cap=timedelta(minutes=5))
FRESH = Tries(spent=0, allowed=8, seconds_left=86_400)


def failure(kind: FailureClass, retry_after: timedelta | None = None) -> Failure:
    return Failure(kind, "smtp:mx:25", "words", retry_after=retry_after)


@pytest.mark.parametrize("kind", [FailureClass.RECIPIENT, FailureClass.CONTENT])
def test_what_is_the_messages_own_and_final_fault_kills_it_at_once(kind: FailureClass) -> None:
    outcome = after_failure(SCHEDULE, FRESH, failure(kind), dice=0.5)
    assert outcome == Dead(DeadReason.REJECTED, failure(kind))


def test_a_providers_fault_costs_no_attempt_however_many_were_spent() -> None:
    last = Tries(spent=7, allowed=8, seconds_left=60)
    outcome = after_failure(SCHEDULE, last, failure(FailureClass.PROVIDER, timedelta(seconds=30)), dice=0.5)
    assert outcome == Deferred(timedelta(seconds=30), failure(FailureClass.PROVIDER, timedelta(seconds=30)))


@pytest.mark.parametrize(("spent", "ceiling"), [(0, 10), (1, 20), (2, 40), (5, 300), (6, 300)])
def test_delays_double_up_to_the_cap_with_full_jitter(spent: int, ceiling: int) -> None:
    tries = Tries(spent, allowed=99, seconds_left=86_400)
    longest = after_failure(SCHEDULE, tries, failure(FailureClass.TRANSIENT), dice=1.0)
    half = after_failure(SCHEDULE, tries, failure(FailureClass.TRANSIENT), dice=0.5)
    assert longest == Retry(timedelta(seconds=ceiling), failure(FailureClass.TRANSIENT))
    assert half == Retry(timedelta(seconds=ceiling / 2), failure(FailureClass.TRANSIENT))


def test_a_retry_never_comes_at_once() -> None:
    outcome = after_failure(SCHEDULE, FRESH, failure(FailureClass.TRANSIENT), dice=0.0)
    assert isinstance(outcome, Retry)
    assert outcome.delay == timedelta(seconds=1)


def test_the_server_may_ask_for_more_patience_than_the_schedule_has() -> None:
    greylisted = failure(FailureClass.TRANSIENT, timedelta(minutes=15))
    assert after_failure(SCHEDULE, FRESH, greylisted, dice=0.5) == Retry(timedelta(minutes=15), greylisted)


def test_the_last_attempt_exhausts_a_message() -> None:
    last = Tries(spent=7, allowed=8, seconds_left=86_400)
    outcome = after_failure(SCHEDULE, last, failure(FailureClass.TRANSIENT), dice=0.5)
    assert outcome == Dead(DeadReason.EXHAUSTED, failure(FailureClass.TRANSIENT))


def test_no_retry_is_planned_for_after_the_secrets_end() -> None:
    brief = Tries(spent=0, allowed=8, seconds_left=4)
    outcome = after_failure(SCHEDULE, brief, failure(FailureClass.TRANSIENT), dice=0.5)
    assert outcome == Dead(DeadReason.EXPIRED, failure(FailureClass.TRANSIENT))


def test_every_template_has_a_schedule() -> None:
    assert set(SCHEDULES) == set(Template)


def test_a_schedule_bears_any_number_of_attempts() -> None:
    assert SCHEDULE.ceiling(32_000) == SCHEDULE.cap
