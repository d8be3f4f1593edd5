from datetime import UTC, datetime, timedelta

from outbox_relay.model import LateQueue, Progress
from outbox_relay.supervision.stall_detector import Phase, StallDetector, StallLimits, readiness, status_line

SECOND = timedelta(seconds=1)
LIMITS = StallLimits(between_looks=3 * SECOND, between_settles=5 * SECOND)


def verdicts(*intervals: tuple[Progress, int]) -> list[bool]:
    """Return, for one interval a second, whether the consumer was considered stuck."""
    watch = StallDetector(LIMITS, SECOND)
    return [watch.is_stuck_after(progress, failures) for progress, failures in intervals]


def test_an_idle_consumer_that_polls_is_healthy() -> None:
    assert not any(verdicts(*[(Progress(held=0, looks=1 + interval // 3, settled=0), 0) for interval in range(100)]))


def test_a_consumer_that_stopped_polling_is_stuck() -> None:
    assert verdicts(*[(Progress(held=0, looks=1, settled=0), 0)] * 6) == [False] * 4 + [True] * 2


def test_a_consumer_that_settles_none_of_its_messages_is_stuck() -> None:
    assert (
        verdicts(*[(Progress(held=7, looks=interval, settled=0), 0) for interval in range(8)])
        == [False] * 5 + [True] * 3
    )


def test_a_consumer_that_settles_slowly_is_healthy() -> None:
    assert not any(verdicts(*[(Progress(held=7, looks=interval, settled=interval // 5), 0) for interval in range(100)]))


def test_a_consumer_that_waits_for_its_database_is_healthy() -> None:
    assert not any(verdicts(*[(Progress(held=7, looks=1, settled=0), interval // 2) for interval in range(100)]))


def test_a_consumer_that_no_longer_tries_the_database_is_stuck() -> None:
    assert verdicts(*[(Progress(held=7, looks=1, settled=0), min(interval, 50)) for interval in range(100)])[-1]


def test_a_stopping_consumer_must_settle_but_need_not_poll() -> None:
    assert not any(verdicts(*[(Progress(7, 1, settled=interval, is_stopping=True), 0) for interval in range(100)]))
    assert verdicts(*[(Progress(7, 1, settled=0, is_stopping=True), 0)] * 100)[-1]


def test_a_consumer_that_continues_is_healthy_at_once() -> None:
    still = [(Progress(held=0, looks=1, settled=0), 0)] * 10
    assert verdicts(*still, (Progress(held=0, looks=2, settled=0), 0))[-2:] == [True, False]


def test_the_status_describes_the_consumers_state() -> None:
    progress = [Progress(held=3, looks=1, settled=0), Progress(held=4, looks=1, settled=0)]
    since = datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)
    assert status_line(Phase.CLAIMING, progress, None) == "Claiming; 7 messages in progress"
    assert (
        status_line(Phase.STARTING, [], since)
        == "Waiting for the database since 2026-11-21 03:04:05 UTC; 0 messages in progress"
    )
    assert (
        status_line(Phase.CLAIMING, [], since)
        == "Claiming, database lost since 2026-11-21 03:04:05 UTC; 0 messages in progress"
    )


def test_a_late_consumer_is_reported_unless_something_blocks_it() -> None:
    late, held = LateQueue("email code", 301.4, []), LateQueue("sms code", 400, ["twilio is down"])
    assert readiness([], is_away=False, is_schema_behind=False) == ([], [])
    assert readiness([late, held], is_away=False, is_schema_behind=False) == (
        ["email code: a message has been due for 301 seconds"],
        ["sms code: twilio is down"],
    )
    assert readiness([late], is_away=True, is_schema_behind=False).missing[0] == "database"
