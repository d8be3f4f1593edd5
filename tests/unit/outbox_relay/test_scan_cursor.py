from datetime import UTC, datetime, timedelta
from uuid import UUID

from outbox_relay.outbox.claim import (
    COMMIT_MARGIN,
    FULL_SCAN_SECONDS,
    LATENESS_SECONDS,
    LONGEST_REST_SECONDS,
    NO_ID,
    REST_IN_FULL_SCANS,
    START_OF_INDEX,
    ClaimCursor,
    seen_until,
)
from tests.support.claimed import a_claimed_message

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
AT_NOON = (NOON, NO_ID)


def scanned_cursor(seconds: float = 0.0) -> ClaimCursor:
    """Return a cursor at noon, after a full scan of that duration which started at moment 0."""
    cursor = ClaimCursor()
    assert cursor.next(now=0.0) == START_OF_INDEX
    cursor.took(START_OF_INDEX, 0.0, seconds)
    cursor.advance(AT_NOON, START_OF_INDEX)
    return cursor


def test_claims_start_where_the_last_one_stopped() -> None:
    assert scanned_cursor().next(now=1.0) == AT_NOON


def test_the_cursor_advances_and_a_full_scan_comes_every_few_seconds() -> None:
    cursor = scanned_cursor()
    cursor.advance((NOON - 60 * SECOND, NO_ID), AT_NOON)
    assert cursor.next(now=1.0) == AT_NOON
    assert cursor.next(now=FULL_SCAN_SECONDS) == START_OF_INDEX


def test_claims_continue_from_a_late_backlog_that_a_full_scan_found() -> None:
    cursor = scanned_cursor()
    cursor.next(now=FULL_SCAN_SECONDS)
    cursor.advance((NOON - 3600 * SECOND, NO_ID), START_OF_INDEX)
    assert cursor.next(now=FULL_SCAN_SECONDS + 1) == (NOON - 3600 * SECOND, NO_ID)


def test_the_pause_after_a_full_scan_is_many_times_its_duration() -> None:
    cursor = scanned_cursor(seconds=1.0)
    assert cursor.next(now=1.0 + REST_IN_FULL_SCANS - 0.1) == AT_NOON
    assert cursor.next(now=1.0 + REST_IN_FULL_SCANS) == START_OF_INDEX


def test_a_full_scan_that_hung_is_repeated_within_a_minute() -> None:
    cursor = scanned_cursor(seconds=30.0)
    assert cursor.next(now=30.0 + LONGEST_REST_SECONDS) == START_OF_INDEX


def test_slow_claims_and_early_polls_still_allow_a_full_scan_per_poll() -> None:
    cursor = scanned_cursor(seconds=0.05)
    assert cursor.next(now=FULL_SCAN_SECONDS - LATENESS_SECONDS / 2) == START_OF_INDEX


def test_a_failed_full_scan_delays_the_next_no_longer_than_a_successful_one() -> None:
    cursor = ClaimCursor()
    cursor.next(now=0.0)
    assert cursor.next(now=1.0) == cursor.position
    assert cursor.next(now=FULL_SCAN_SECONDS) == START_OF_INDEX


def test_a_slow_claim_from_the_cursor_delays_no_full_scan() -> None:
    cursor = scanned_cursor()
    cursor.took(AT_NOON, 1.0, 4.0)
    assert cursor.next(now=FULL_SCAN_SECONDS) == START_OF_INDEX


def test_a_full_scan_requested_during_another_follows_at_once() -> None:
    cursor = ClaimCursor()
    cursor.next(now=0.0)
    cursor.request_full_scan()
    cursor.took(START_OF_INDEX, 0.0, 2.0)
    assert cursor.next(now=2.0) == START_OF_INDEX


def test_messages_due_at_the_same_moment_are_ordered_by_id() -> None:
    batch = [a_claimed_message(id=UUID(int=number), due_at=NOON) for number in (3, 1, 2)]
    assert seen_until(batch, limit=3, claimed_at=NOON + 60 * SECOND) == (NOON, UUID(int=3))


def test_the_cursor_rescans_times_of_late_commits() -> None:
    batch = [a_claimed_message(id=UUID(int=number), due_at=NOON) for number in (1, 2)]
    lately = (NOON - COMMIT_MARGIN, NO_ID)
    assert seen_until(batch, limit=2, claimed_at=NOON) == lately
    assert seen_until(batch, limit=3, claimed_at=NOON) == lately
