from datetime import UTC, datetime, timedelta
from uuid import UUID

from outbox_relay.floor import (
    BEFORE_EVERYTHING,
    FLOOR_MARGIN,
    LATENESS_SECONDS,
    MAX_IDLE_SECONDS,
    NO_ID,
    REST_IN_SWEEPS,
    SWEEP_SECONDS,
    ScanFloor,
    seen_until,
)
from tests.support.claimed import a_claimed_message

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
AT_NOON = (NOON, NO_ID)


def swept_floor(seconds: float = 0.0) -> ScanFloor:
    """Return a floor at noon after a sweep from the moment 0 on that took so long."""
    floor = ScanFloor()
    assert floor.next(now=0.0) == BEFORE_EVERYTHING
    floor.took(BEFORE_EVERYTHING, 0.0, seconds)
    floor.reached(AT_NOON, BEFORE_EVERYTHING)
    return floor


def test_claims_begin_where_the_last_one_stopped() -> None:
    assert swept_floor().next(now=1.0) == AT_NOON


def test_the_floor_rises_and_a_sweep_comes_every_few_seconds() -> None:
    floor = swept_floor()
    floor.reached((NOON - 60 * SECOND, NO_ID), AT_NOON)
    assert floor.next(now=1.0) == AT_NOON
    assert floor.next(now=SWEEP_SECONDS) == BEFORE_EVERYTHING


def test_a_sweep_that_finds_a_late_backlog_lets_the_next_claims_go_on_with_it() -> None:
    floor = swept_floor()
    floor.next(now=SWEEP_SECONDS)
    floor.reached((NOON - 3600 * SECOND, NO_ID), BEFORE_EVERYTHING)
    assert floor.next(now=SWEEP_SECONDS + 1) == (NOON - 3600 * SECOND, NO_ID)


def test_a_long_sweep_is_followed_by_a_rest_of_many_times_its_length() -> None:
    floor = swept_floor(seconds=1.0)
    assert floor.next(now=1.0 + REST_IN_SWEEPS - 0.1) == AT_NOON
    assert floor.next(now=1.0 + REST_IN_SWEEPS) == BEFORE_EVERYTHING


def test_a_sweep_that_hung_is_followed_by_another_within_a_minute() -> None:
    floor = swept_floor(seconds=30.0)
    assert floor.next(now=30.0 + MAX_IDLE_SECONDS) == BEFORE_EVERYTHING


def test_a_sweep_comes_with_every_poll_though_each_claim_takes_a_while_and_a_poll_is_early() -> None:
    floor = swept_floor(seconds=0.05)
    assert floor.next(now=SWEEP_SECONDS - LATENESS_SECONDS / 2) == BEFORE_EVERYTHING


def test_a_sweep_that_nobody_answered_puts_the_next_one_off_no_longer_than_any() -> None:
    floor = ScanFloor()
    floor.next(now=0.0)
    assert floor.next(now=1.0) == floor.place
    assert floor.next(now=SWEEP_SECONDS) == BEFORE_EVERYTHING


def test_a_claim_from_the_floor_puts_no_sweep_off_however_long_it_took() -> None:
    floor = swept_floor()
    floor.took(AT_NOON, 1.0, 4.0)
    assert floor.next(now=SWEEP_SECONDS) == BEFORE_EVERYTHING


def test_a_sweep_asked_for_during_a_sweep_comes_at_once() -> None:
    floor = ScanFloor()
    floor.next(now=0.0)
    floor.sweep_soon()
    floor.took(BEFORE_EVERYTHING, 0.0, 2.0)
    assert floor.next(now=2.0) == BEFORE_EVERYTHING


def test_what_was_due_at_one_moment_is_told_apart_by_id() -> None:
    batch = [a_claimed_message(id=UUID(int=number), due_at=NOON) for number in (3, 1, 2)]
    assert seen_until(batch, limit=3, claimed_at=NOON + 60 * SECOND) == (NOON, UUID(int=3))


def test_what_may_still_be_committed_lately_is_looked_for_again() -> None:
    batch = [a_claimed_message(id=UUID(int=number), due_at=NOON) for number in (1, 2)]
    lately = (NOON - FLOOR_MARGIN, NO_ID)
    assert seen_until(batch, limit=2, claimed_at=NOON) == lately
    assert seen_until(batch, limit=3, claimed_at=NOON) == lately
