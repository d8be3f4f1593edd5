import psycopg

from shared.db.errors import LONGEST_PAUSE_SECONDS
from tests.support.outages import RecordedOutage


def test_an_outage_is_logged_once() -> None:
    outage = RecordedOutage()
    for _ in range(1000):
        outage.failed(psycopg.OperationalError())
    assert outage.events == [("warning", "database lost")]
    outage.end()
    outage.end()
    assert outage.events == [("warning", "database lost"), ("info", "database found again")]


def test_an_outage_that_needs_an_operator_is_logged_as_an_error() -> None:
    for error in (psycopg.errors.InsufficientPrivilege(), RuntimeError()):
        outage = RecordedOutage()
        outage.failed(error)
        assert outage.events == [("error", "database lost")]
    outage = RecordedOutage()
    outage.failed(psycopg.errors.UndefinedTable())
    assert outage.events == [("error", "schema too old")]


def test_pauses_grow_to_a_limit_and_restart_after_the_outage() -> None:
    outage = RecordedOutage()
    pauses = [outage.failed(psycopg.OperationalError()) for _ in range(10)]
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    outage.end()
    assert outage.failed(psycopg.OperationalError()) == pauses[0]


def test_an_outage_has_a_start_time() -> None:
    outage = RecordedOutage()
    assert outage.since is None
    outage.failed(psycopg.OperationalError())
    began = outage.since
    outage.failed(psycopg.OperationalError())
    assert outage.since is began is not None
