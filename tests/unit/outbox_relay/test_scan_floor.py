from datetime import UTC, datetime, timedelta

from outbox_relay.claims import BEFORE_EVERYTHING, FLOOR_MARGIN, SWEEP_SECONDS, ScanFloor

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_claims_begin_a_little_before_where_the_last_one_stopped() -> None:
    floor = ScanFloor()
    assert floor.next(now=0.0) == BEFORE_EVERYTHING
    floor.reached(NOON, BEFORE_EVERYTHING)
    assert floor.next(now=1.0) == NOON - FLOOR_MARGIN


def test_the_floor_rises_and_a_sweep_comes_every_few_seconds() -> None:
    floor = ScanFloor()
    floor.next(now=0.0)
    floor.reached(NOON, BEFORE_EVERYTHING)
    floor.reached(NOON - 60 * SECOND, NOON)
    assert floor.next(now=1.0) == NOON - FLOOR_MARGIN
    assert floor.next(now=SWEEP_SECONDS) == BEFORE_EVERYTHING


def test_a_sweep_that_finds_a_late_backlog_lets_the_next_claims_go_on_with_it() -> None:
    floor = ScanFloor()
    floor.next(now=0.0)
    floor.reached(NOON, BEFORE_EVERYTHING)
    floor.next(now=SWEEP_SECONDS)
    floor.reached(NOON - 3600 * SECOND, BEFORE_EVERYTHING)
    assert floor.next(now=SWEEP_SECONDS + 1) == NOON - 3600 * SECOND - FLOOR_MARGIN
