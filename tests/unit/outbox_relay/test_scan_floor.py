from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from outbox_relay.floor import (
    ANY_ID,
    BEFORE_EVERYTHING,
    FLOOR_MARGIN,
    LATENESS_SECONDS,
    LONGEST_REST_SECONDS,
    NO_ID,
    REST_IN_SWEEPS,
    SWEEP_SECONDS,
    ScanFloor,
    seen_until,
)
from shared.uuid7 import uuid7_at
from tests.support.claimed import a_claimed_message

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
AT_NOON = (NOON, NO_ID)


def swept_floor(seconds: float = 0.0) -> ScanFloor:
    """Return a floor at noon after a sweep from the moment 0 on that took so long."""
    floor = ScanFloor()
    assert floor.next(now=0.0) == BEFORE_EVERYTHING
    floor.took(BEFORE_EVERYTHING, 0.0, seconds)
    floor.reached(AT_NOON, BEFORE_EVERYTHING, NOON + FLOOR_MARGIN)
    return floor


def test_claims_begin_where_the_last_one_stopped() -> None:
    assert swept_floor().next(now=1.0) == AT_NOON


def test_the_floor_rises_and_a_sweep_comes_every_few_seconds() -> None:
    floor = swept_floor()
    floor.reached((NOON - 60 * SECOND, NO_ID), AT_NOON, NOON + FLOOR_MARGIN)
    assert floor.next(now=1.0) == AT_NOON
    assert floor.next(now=SWEEP_SECONDS) == BEFORE_EVERYTHING


def test_a_sweep_that_finds_a_late_backlog_lets_the_next_claims_go_on_with_it() -> None:
    floor = swept_floor()
    floor.next(now=SWEEP_SECONDS)
    floor.reached((NOON - 3600 * SECOND, NO_ID), BEFORE_EVERYTHING, NOON + FLOOR_MARGIN)
    assert floor.next(now=SWEEP_SECONDS + 1) == (NOON - 3600 * SECOND, NO_ID)


def test_a_long_sweep_is_followed_by_a_rest_of_many_times_its_length() -> None:
    floor = swept_floor(seconds=1.0)
    assert floor.next(now=1.0 + REST_IN_SWEEPS - 0.1) == AT_NOON
    assert floor.next(now=1.0 + REST_IN_SWEEPS) == BEFORE_EVERYTHING


def test_a_sweep_that_hung_is_followed_by_another_within_a_minute() -> None:
    floor = swept_floor(seconds=30.0)
    assert floor.next(now=30.0 + LONGEST_REST_SECONDS) == BEFORE_EVERYTHING


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


DAY = timedelta(days=1)


def an_id_of(moment: datetime) -> UUID:
    return uuid7_at(int(moment.timestamp() * 1e9), bytes(8))


@pytest.mark.parametrize(
    ("made_at", "is_asked_for"),
    [
        (NOON, True),
        (NOON - 1.9 * DAY, True),
        (NOON - 2.1 * DAY, False),
        (NOON + 5.9 * DAY, True),
        (NOON + 6.1 * DAY, False),
    ],
)
def test_a_claim_asks_for_what_was_made_from_two_days_before_its_floor_to_a_day_from_now(
    made_at: datetime, *, is_asked_for: bool
) -> None:
    lowest, highest = swept_floor().ids(AT_NOON, NOON + 5 * DAY)
    assert (lowest <= an_id_of(made_at) <= highest) == is_asked_for


@pytest.mark.parametrize("due_at", [datetime.min.replace(tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)])
def test_what_was_made_due_before_ids_can_tell_of_is_claimed_like_any_other(due_at: datetime) -> None:
    floor = swept_floor()
    message = a_claimed_message(id=an_id_of(NOON), due_at=due_at)
    floor.found([message], BEFORE_EVERYTHING, NOON)
    lowest, highest = floor.ids((due_at + SECOND, NO_ID), NOON)
    assert lowest <= message.id <= highest


@pytest.mark.parametrize("wrong_by", [-30 * DAY, 30 * DAY])
def test_claims_that_follow_a_message_find_the_next_however_wrong_the_relay_s_clock_is(wrong_by: timedelta) -> None:
    lowest, highest = swept_floor().ids(AT_NOON, NOON + wrong_by)
    assert lowest <= an_id_of(NOON + SECOND) <= highest


def test_a_sweep_asks_for_any_id() -> None:
    assert swept_floor().ids(BEFORE_EVERYTHING, NOON) == ANY_ID


def test_once_somebody_has_told_of_what_is_far_claims_ask_for_any_id_until_a_sweep_finds_none() -> None:
    floor = swept_floor()
    floor.expect_far()
    assert floor.ids(AT_NOON, NOON) == ANY_ID
    floor.found([], AT_NOON, NOON)
    assert floor.ids(AT_NOON, NOON) == ANY_ID
    floor.next(now=SWEEP_SECONDS)
    floor.found([], BEFORE_EVERYTHING, NOON)
    assert floor.ids(AT_NOON, NOON) != ANY_ID


def test_what_somebody_tells_of_while_a_sweep_is_on_its_way_is_not_forgotten_with_it() -> None:
    floor = swept_floor()
    floor.next(now=SWEEP_SECONDS)
    floor.expect_far()
    floor.found([], BEFORE_EVERYTHING, NOON)
    assert floor.ids(AT_NOON, NOON) == ANY_ID


@pytest.mark.parametrize("made_at", [NOON - 9 * DAY, NOON + 9 * DAY])
def test_once_a_sweep_has_found_what_is_far_claims_ask_for_any_id_until_one_finds_none(made_at: datetime) -> None:
    floor, near = swept_floor(), a_claimed_message(id=an_id_of(NOON), due_at=NOON)
    floor.found([near, a_claimed_message(id=an_id_of(made_at), due_at=NOON)], BEFORE_EVERYTHING, NOON)
    assert floor.ids(AT_NOON, NOON) == ANY_ID
    floor.found([near], AT_NOON, NOON)
    assert floor.ids(AT_NOON, NOON) == ANY_ID
    floor.next(now=SWEEP_SECONDS)
    floor.found([near], BEFORE_EVERYTHING, NOON)
    assert floor.ids(AT_NOON, NOON) != ANY_ID


def test_where_a_claim_found_nothing_the_next_of_what_is_fresh_tells_up_to_when_that_was() -> None:
    floor = swept_floor()
    floor.found_nothing(began=100.0)
    floor.reached_today(AT_NOON, NOON + 60 * SECOND, now=110.0)
    assert floor.place == (NOON + 50 * SECOND - FLOOR_MARGIN, NO_ID)


def test_what_was_found_since_is_the_floor_whatever_was_not_before_it() -> None:
    floor = swept_floor()
    floor.found_nothing(began=100.0)
    floor.reached((NOON - 3600 * SECOND, NO_ID), BEFORE_EVERYTHING, NOON + FLOOR_MARGIN)
    floor.reached_today(AT_NOON, NOON + 60 * SECOND, now=110.0)
    assert floor.place == (NOON - 3600 * SECOND, NO_ID)


def test_where_the_server_s_clock_is_set_back_what_is_fresh_is_looked_for_from_there() -> None:
    floor = swept_floor()
    floor.reached((NOON - 3600 * SECOND, NO_ID), BEFORE_EVERYTHING, NOON - 3600 * SECOND + FLOOR_MARGIN)
    assert floor.fresh == (NOON - 3600 * SECOND, NO_ID)


def test_a_sweep_that_goes_on_with_a_backlog_leaves_what_is_fresh_where_it_was() -> None:
    floor = swept_floor()
    floor.reached((NOON - 3600 * SECOND, NO_ID), BEFORE_EVERYTHING, NOON + FLOOR_MARGIN)
    assert floor.fresh == AT_NOON
