"""The synchronous standby is away: the primary commits and cannot confirm, which probes and clients must learn."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import DBAPIError

from shared.db.engine import create_database_engine, is_database_unavailable
from shared.web.admin import WRITE
from tests.support.admin import listening
from tests.support.api import api_on
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.standby import lonely_primary, wait_for_standby

WAITING = "select pid from pg_stat_activity where wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def primary() -> Iterator[Database]:
    with lonely_primary() as database:
        yield database


@pytest.fixture
def alone(primary: Database) -> Iterator[Database]:
    """A database that waits for a standby that does not exist."""
    wait_for_standby(primary, "nobody")
    yield primary
    wait_for_standby(primary, "")


def waiting(database: Database) -> list[int]:
    """Return the process ids of the sessions that wait for the standby."""
    with database.connect() as owner:
        return [pid for (pid,) in owner.execute(WAITING).fetchall()]


def test_a_service_is_not_ready_while_no_standby_confirms(alone: Database) -> None:
    with listening(alone.api_url) as get:
        for _ in range(2):
            response = get("/readyz")
            assert (response.status_code, response.json()["missing"]) == (503, ["standby"])
        wait_for_standby(alone, "")
        eventually(lambda: get("/readyz").is_success)


def test_probes_leave_no_session_behind(alone: Database) -> None:
    with listening(alone.api_url) as get:
        get("/readyz")
        eventually(lambda: waiting(alone) == [])


def test_a_commit_whose_wait_was_cancelled_is_an_error(alone: Database) -> None:
    with api_on(alone) as api, ThreadPoolExecutor(1) as client, alone.connect() as owner:
        response = client.submit(api.register)
        [pid] = eventually(lambda: waiting(alone))
        owner.execute("select pg_cancel_backend(%s)", [pid])
        assert (response.result(60).status_code, response.result().json["code"]) == (503, "database_unavailable")


def test_a_commit_that_takes_too_long_is_an_error_and_waits_no_longer(alone: Database) -> None:
    engine = create_database_engine(alone.api_url, application_name="test", pool_size=1, timeout_seconds=1)
    with pytest.raises(DBAPIError) as raised, engine.begin() as connection:
        connection.execute(WRITE)
    assert is_database_unavailable(raised.value)
    eventually(lambda: waiting(alone) == [])
    engine.dispose()
