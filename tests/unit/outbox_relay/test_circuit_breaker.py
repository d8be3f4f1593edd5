from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_relay.providers.circuit_breaker import (
    FAILURES_IN_A_ROW,
    FEWEST_ATTEMPTS,
    LONGEST_PAUSE_SECONDS,
    BreakerState,
    CircuitBreaker,
)

AN_HOUR = timedelta(hours=1)


def a_breaker_after(outcomes: str, now: float = 100.0) -> CircuitBreaker:
    """Return a breaker that has seen successes (+) and failures (-) in that order."""
    breaker = CircuitBreaker()
    for outcome in outcomes:
        if outcome == "+":
            breaker.succeeded(now)
        else:
            breaker.failed(now, jitter=0.0)
    return breaker


def an_open_breaker() -> CircuitBreaker:
    return a_breaker_after("-")


def test_without_successes_the_first_failure_opens_the_breaker() -> None:
    breaker = a_breaker_after("-")
    assert breaker.state(now=100.9) is BreakerState.OPEN
    assert breaker.state(now=101.0) is BreakerState.HALF_OPEN


@pytest.mark.parametrize(
    ("outcomes", "condition"),
    [
        ("+" * 20 + "-", BreakerState.CLOSED),
        ("+-" * 4, BreakerState.CLOSED),  # half failed, but of too few
        ("+-" * 5, BreakerState.OPEN),
        ("++-" * 20, BreakerState.CLOSED),
        ("+" * 90 + "-" * (FAILURES_IN_A_ROW - 1), BreakerState.CLOSED),
        ("+" * 90 + "-" * FAILURES_IN_A_ROW, BreakerState.OPEN),
    ],
)
def test_among_successes_a_share_or_a_run_of_failures_opens_the_breaker(outcomes: str, condition: BreakerState) -> None:
    assert a_breaker_after(outcomes).state(now=100.0) is condition


def test_old_successes_do_not_count() -> None:
    breaker = a_breaker_after("+" * 50, now=100.0)
    breaker.failed(now=131.0, jitter=0.0)
    assert breaker.state(now=131.0) is BreakerState.OPEN


def test_retry_after_opens_the_breaker_despite_successes() -> None:
    breaker = a_breaker_after("+" * 50)
    breaker.failed(now=100.0, jitter=0.0, at_least=AN_HOUR)
    assert breaker.remaining(now=100.0) == AN_HOUR


def test_one_successful_probe_closes_the_breaker() -> None:
    breaker = an_open_breaker()
    assert breaker.succeeded(now=101.0) is True
    assert breaker.state(now=101.0) is BreakerState.CLOSED


def test_a_result_from_before_the_outage_does_not_count() -> None:
    breaker = an_open_breaker()
    for _ in range(10):
        breaker.succeeded(now=100.5)
    assert breaker.state(now=100.5) is BreakerState.OPEN


def test_one_failure_after_closing_does_not_reopen_the_breaker() -> None:
    breaker = an_open_breaker()
    breaker.succeeded(now=101.0)
    breaker.failed(now=101.0, jitter=0.0)
    assert breaker.state(now=101.0) is BreakerState.CLOSED


def test_a_breaker_that_reopens_soon_keeps_doubling_its_pause() -> None:
    breaker = an_open_breaker()
    breaker.succeeded(now=101.0)
    for _ in range(FEWEST_ATTEMPTS):
        breaker.failed(now=102.0, jitter=0.0)
    assert breaker.remaining(now=102.0) == timedelta(seconds=2)


@pytest.mark.parametrize(("failures", "pause"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 30.0), (2000, 30.0)])
def test_consecutive_openings_double_the_pause_up_to_half_a_minute(failures: int, pause: float) -> None:
    breaker, now = CircuitBreaker(), 0.0
    for _ in range(failures):
        now = breaker.open_until
        breaker.failed(now, jitter=0.0)
    assert breaker.open_until - now == pytest.approx(pause)


def test_failures_in_flight_at_the_opening_count_once() -> None:
    breaker = CircuitBreaker()
    for _ in range(8):
        breaker.failed(now=100.0, jitter=0.0)
    assert breaker.consecutive_opens == 1


def test_jitter_shortens_a_pause_by_at_most_half() -> None:
    breaker = CircuitBreaker()
    breaker.failed(now=0.0, jitter=0.999)
    assert 0.5 <= breaker.open_until <= 0.51


def test_another_relays_breaker_state_applies_here() -> None:
    breaker = CircuitBreaker()
    breaker.adopt(now=50.0, consecutive_opens=3, open_for=4.0)
    assert breaker.state(now=53.9) is BreakerState.OPEN
    assert breaker.state(now=54.0) is BreakerState.HALF_OPEN
    breaker.adopt(now=55.0, consecutive_opens=0, open_for=0.0)
    assert breaker.state(now=55.0) is BreakerState.CLOSED


def test_a_relay_knows_since_when_a_breaker_that_it_adopts_is_half_open() -> None:
    breaker = CircuitBreaker()
    breaker.adopt(now=50.0, consecutive_opens=3, open_for=-60.0)
    assert breaker.half_open_for(now=52.0) == 62.0


STEPS = st.lists(st.tuples(st.sampled_from("+-"), st.floats(0, 40), st.floats(0, 0.999)), max_size=200)


@given(STEPS)
def test_an_open_pause_stays_within_its_limits(
    steps: list[tuple[str, float, float]],
) -> None:
    breaker, now = CircuitBreaker(), 0.0
    for outcome, passing, jitter in steps:
        now += passing
        before = breaker.state(now)
        if outcome == "+":
            breaker.succeeded(now)
        elif breaker.failed(now, jitter=jitter):
            assert before is not BreakerState.OPEN
            assert 0.499 <= breaker.open_until - now <= LONGEST_PAUSE_SECONDS + 0.001
        assert (breaker.consecutive_opens == 0) == (breaker.state(now) is BreakerState.CLOSED)


@given(STEPS)
def test_only_a_probe_closes_the_breaker(steps: list[tuple[str, float, float]]) -> None:
    breaker, now = CircuitBreaker(), 0.0
    for outcome, passing, jitter in steps:
        now += passing
        before = breaker.state(now)
        if outcome == "+":
            assert breaker.succeeded(now) is False or before is BreakerState.HALF_OPEN
        else:
            breaker.failed(now, jitter=jitter)
            assert before is BreakerState.CLOSED or breaker.state(now) is BreakerState.OPEN
