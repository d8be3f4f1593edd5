import random
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_relay.delivery.retry_policy import (
    CODE,
    LINK,
    NOTICE,
    PROVISIONING,
    Doubling,
    Schedule,
    Steps,
    Tries,
    after_failure,
    attributed,
    schedule_for,
)
from outbox_relay.model import Dead, Deferred, Failure, FailureClass, Retry
from shared.enqueue import LONGEST_LIFE, MAX_ATTEMPTS
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, DeadReason, Priority, Work, WorkChannel

SCHEDULE = Doubling(first=timedelta(seconds=10), cap=timedelta(minutes=5))
FRESH = Tries(spent=0, allowed=8, seconds_left=86_400)
A_TICK = 1e-6  # the resolution of timedelta, which rounds

seconds = st.floats(0, 10**7, allow_nan=False).map(lambda number: timedelta(seconds=number))
delays = st.floats(1, 10**6).map(lambda number: timedelta(seconds=number))
schedules = st.one_of(
    st.builds(Doubling, first=delays, cap=delays),
    st.builds(Steps, st.lists(delays, min_size=1, max_size=8).map(lambda steps: tuple(sorted(steps)))),
    st.sampled_from([CODE, LINK, NOTICE]),
)
failures = st.builds(
    Failure,
    st.sampled_from(FailureClass),
    st.just("smtp:mx:25"),
    st.just("words"),
    retry_after=st.none() | seconds,
    maybe_accepted=st.booleans(),
    is_about_message=st.booleans(),
)
tries_left = st.builds(
    Tries, st.integers(0, 32_000), st.integers(1, 32_000), st.floats(-10.0, 10**7) | st.just(float("inf"))
)
dices = st.floats(0, 1, exclude_max=True)


def failure(kind: FailureClass, retry_after: timedelta | None = None) -> Failure:
    return Failure(kind, "smtp:mx:25", "words", retry_after=retry_after)


@given(schedules, tries_left, failures, dices)
def test_no_retry_is_planned_beyond_a_messages_life(
    schedule: Schedule, tries: Tries, failed: Failure, jitter: float
) -> None:
    outcome = after_failure(schedule, tries, failed, jitter=jitter)
    match outcome:
        case Retry(delay):
            assert timedelta(seconds=1) <= delay
            assert delay.total_seconds() <= tries.seconds_left + A_TICK
            assert delay <= max(schedule.ceiling(tries.spent + 1), failed.retry_after or timedelta(seconds=1))
            assert delay >= (failed.retry_after or timedelta(0))
            assert tries.spent + 1 < tries.allowed
            assert failed.kind is FailureClass.TRANSIENT
        case Deferred(delay):
            assert timedelta(0) <= delay
            assert delay.total_seconds() <= max(tries.seconds_left, 0) + A_TICK
            assert failed.kind is FailureClass.PROVIDER
        case Dead(reason):
            assert reason is not DeadReason.POISON
            assert failed.kind is not FailureClass.PROVIDER or failed.maybe_accepted


@given(schedules, st.integers(1, 32_000))
def test_a_ceiling_never_falls_and_never_passes_the_cap(schedule: Doubling | Steps, spent: int) -> None:
    cap = schedule.cap if isinstance(schedule, Doubling) else schedule.delays[-1]
    assert timedelta(0) < schedule.ceiling(spent) <= schedule.ceiling(spent + 1) <= cap


@pytest.mark.parametrize("kind", [FailureClass.RECIPIENT, FailureClass.CONTENT])
def test_a_final_failure_of_the_message_kills_it_at_once(kind: FailureClass) -> None:
    outcome = after_failure(SCHEDULE, FRESH, failure(kind), jitter=0.5)
    assert outcome == Dead(DeadReason.REJECTED, failure(kind))


def test_a_provider_failure_never_costs_an_attempt() -> None:
    last = Tries(spent=7, allowed=8, seconds_left=60)
    outcome = after_failure(SCHEDULE, last, failure(FailureClass.PROVIDER, timedelta(seconds=30)), jitter=0.5)
    assert outcome == Deferred(timedelta(seconds=30), failure(FailureClass.PROVIDER, timedelta(seconds=30)))


def test_a_long_deferral_ends_with_the_messages_life() -> None:
    down = failure(FailureClass.PROVIDER, timedelta(days=1))
    outcome = after_failure(SCHEDULE, Tries(0, 8, seconds_left=60), down, jitter=0.5)
    assert outcome == Deferred(timedelta(minutes=1), down)


@pytest.mark.parametrize(("spent", "ceiling"), [(0, 10), (1, 20), (2, 40), (5, 300), (6, 300)])
def test_delays_double_up_to_the_cap_with_full_jitter(spent: int, ceiling: int) -> None:
    tries = Tries(spent, allowed=99, seconds_left=86_400)
    longest = after_failure(SCHEDULE, tries, failure(FailureClass.TRANSIENT), jitter=1.0)
    half = after_failure(SCHEDULE, tries, failure(FailureClass.TRANSIENT), jitter=0.5)
    assert longest == Retry(timedelta(seconds=ceiling), failure(FailureClass.TRANSIENT))
    assert half == Retry(timedelta(seconds=ceiling / 2), failure(FailureClass.TRANSIENT))


def test_retry_steps_advance_and_the_last_repeats() -> None:
    steps = [CODE.ceiling(spent).total_seconds() for spent in range(1, 8)]
    assert steps == [5, 15, 45, 120, 300, 300, 300]


def test_a_retry_is_never_immediate() -> None:
    outcome = after_failure(SCHEDULE, FRESH, failure(FailureClass.TRANSIENT), jitter=0.0)
    assert isinstance(outcome, Retry)
    assert outcome.delay == timedelta(seconds=1)


def test_retry_after_may_exceed_the_schedule() -> None:
    greylisted = failure(FailureClass.TRANSIENT, timedelta(minutes=15))
    assert after_failure(SCHEDULE, FRESH, greylisted, jitter=0.5) == Retry(timedelta(minutes=15), greylisted)


def test_the_last_attempt_exhausts_a_message() -> None:
    last = Tries(spent=7, allowed=8, seconds_left=86_400)
    outcome = after_failure(SCHEDULE, last, failure(FailureClass.TRANSIENT), jitter=0.5)
    assert outcome == Dead(DeadReason.EXHAUSTED, failure(FailureClass.TRANSIENT))


def test_no_retry_is_planned_after_the_code_expires() -> None:
    brief = Tries(spent=0, allowed=8, seconds_left=4)
    outcome = after_failure(SCHEDULE, brief, failure(FailureClass.TRANSIENT), jitter=0.5)
    assert outcome == Dead(DeadReason.EXPIRED, failure(FailureClass.TRANSIENT))


@pytest.mark.parametrize("schedule", [SCHEDULE, CODE], ids=["doubling", "steps"])
def test_a_message_with_no_more_than_the_first_delay_left_expires(schedule: Schedule) -> None:
    first, transient = schedule.ceiling(1).total_seconds(), failure(FailureClass.TRANSIENT)
    just_enough, more = Tries(3, 8, seconds_left=first), Tries(3, 8, seconds_left=first + 0.5)
    assert after_failure(schedule, just_enough, transient, jitter=0.5) == Dead(DeadReason.EXPIRED, transient)
    assert isinstance(after_failure(schedule, more, transient, jitter=0.5), Retry)


def test_the_last_retry_comes_before_the_expiry() -> None:
    late = Tries(spent=6, allowed=8, seconds_left=100)
    outcome = after_failure(SCHEDULE, late, failure(FailureClass.TRANSIENT), jitter=0.995)
    assert isinstance(outcome, Retry)
    assert timedelta(seconds=99) < outcome.delay < timedelta(seconds=100)


def test_a_taken_address_has_the_retry_policy_of_a_free_one() -> None:
    for channel in Channel:
        assert schedule_for(Template("account_exists"), channel) is schedule_for(Template("activation"), channel)


def test_an_unknown_address_has_the_retry_policy_of_a_known_one() -> None:
    for channel in Channel:
        assert schedule_for(Template("no_account"), channel) is schedule_for(Template("password_reset"), channel)
    assert Template("no_account").priority is Template("password_reset").priority


def test_notices_have_a_lower_priority_than_codes() -> None:
    notices = {template for template in TEMPLATES if template.priority is Priority.LOW}
    told_later = {Template("operator_digest"), Template("organization_failed")}
    of_changes = {Template("welcome"), Template("password_changed"), Template("address_changed")}
    of_security = {Template("unfamiliar_sign_in"), Template("token_reuse"), Template("wrong_passwords")}
    assert notices == told_later | of_changes | of_security
    assert {schedule_for(template, channel) for template, channel in product(notices, Channel)} == {NOTICE}


def test_each_template_has_a_policy() -> None:
    used = {schedule_for(template, channel) for template, channel in product(TEMPLATES, Channel)}
    assert used == {CODE, LINK, NOTICE}
    assert {schedule_for(work, channel) for work, channel in product(Work, WorkChannel)} == {PROVISIONING}


@pytest.mark.parametrize("schedule", [LINK, NOTICE], ids=["link", "notice"])
def test_a_message_ends_by_its_expiry_not_by_its_attempts(schedule: Schedule) -> None:
    chance = random.Random(3463)
    transient = failure(FailureClass.TRANSIENT)
    for _ in range(200):
        spent, left, outcome = 0, LONGEST_LIFE.total_seconds(), None
        while not isinstance(outcome, Dead):
            outcome = after_failure(schedule, Tries(spent, MAX_ATTEMPTS, left), transient, jitter=chance.random())
            if isinstance(outcome, Retry):
                spent, left = spent + 1, left - outcome.delay.total_seconds()
        assert outcome.reason is DeadReason.EXPIRED


def test_a_schedule_accepts_any_number_of_attempts() -> None:
    assert SCHEDULE.ceiling(32_000) == SCHEDULE.cap


@pytest.mark.parametrize("kind", FailureClass)
@pytest.mark.parametrize("is_about_message", [True, False])
@pytest.mark.parametrize("is_healthy", [True, False])
def test_a_reply_of_a_healthy_provider_about_one_message_counts_as_transient(
    kind: FailureClass, *, is_about_message: bool, is_healthy: bool
) -> None:
    reported = Failure(kind, "smtp:mx:25", "451 4.3.0", timedelta(seconds=3), is_about_message=is_about_message)
    counted = attributed(reported, is_provider_healthy=is_healthy)
    if kind is FailureClass.PROVIDER and is_about_message and is_healthy:
        assert counted == replace(reported, kind=FailureClass.TRANSIENT)
    else:
        assert counted is reported


def test_a_message_of_the_last_second_expires_instead_of_a_retry() -> None:
    schedule = Steps((timedelta(milliseconds=200),))
    transient = failure(FailureClass.TRANSIENT)
    at_the_limit, above = Tries(0, 8, seconds_left=1.0), Tries(0, 8, seconds_left=1.5)
    assert after_failure(schedule, at_the_limit, transient, jitter=0.5) == Dead(DeadReason.EXPIRED, transient)
    assert after_failure(schedule, above, transient, jitter=0.5) == Retry(timedelta(seconds=1), transient)


def test_while_the_breaker_is_open_a_message_is_deferred_until_it_may_close() -> None:
    down = failure(FailureClass.PROVIDER)
    outcome = after_failure(SCHEDULE, FRESH, down, jitter=0.5, breaker_remaining=timedelta(seconds=12))
    assert outcome == Deferred(timedelta(seconds=12), down)
