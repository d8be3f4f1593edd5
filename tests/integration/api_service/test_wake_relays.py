import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from api_service.outbox_signals import wake_relays
from api_service.outbox_signals.wake_relays import (
    LONGEST_PAUSE,
    NOTIFY,
    NOTIFY_IN_LENT_SESSION,
    Notifier,
    has_set_up,
)
from shared.db.connection_settings import driver_url
from shared.db.timeouts import TimeoutConnection
from shared.vocabulary import WAKE_CHANNEL
from tests.support.api import ApiUnderTest
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.freezing import frozen

OWN_CONNECTION = (
    "from pg_stat_activity where application_name = 'signpost-api-notifier' and datname = current_database()"
)


@pytest.fixture
def database(new_database: Database) -> Database:
    return new_database


@pytest.fixture
def notifier(database: Database) -> Iterator[Notifier]:
    notifier = Notifier(database.api_url)
    yield notifier
    notifier.close()


@contextmanager
def listening(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(driver_url(database.owner_url), autocommit=True) as connection:
        connection.execute(f"listen {WAKE_CHANNEL}")
        yield connection


def wake_ups(connection: psycopg.Connection[Any], *, at_least: int = 1, quiet_seconds: float = 0.2) -> int:
    """Count the notifications until that many have arrived and no other follows for a while."""
    count = 0
    while count < at_least:
        received = len(list(connection.notifies(timeout=60, stop_after=1)))
        assert received, "no wake-up came"
        count += received
    return count + len(list(connection.notifies(timeout=quiet_seconds)))


def test_a_registration_and_a_resend_wake_the_relays(own_api: ApiUnderTest) -> None:
    api = own_api
    with listening(api.database) as connection:
        registration_id = api.registered()
        assert wake_ups(connection) == 1
        api.resend(registration_id)
        assert wake_ups(connection) == 1


def test_a_rollback_wakes_no_relay(own_api: ApiUnderTest) -> None:
    api = own_api
    with listening(api.database) as connection:
        api.register(email="no address")
        assert list(connection.notifies(timeout=0.2)) == []


def test_many_concurrent_wake_ups_become_few(database: Database, notifier: Notifier) -> None:
    with listening(database) as connection:
        started = time.monotonic()
        for _ in range(1000):
            notifier.wake()
        count = wake_ups(connection)
        elapsed = time.monotonic() - started
    # The pauses reach their maximum with the fourth notification. Two more may arrive at either end.
    assert 1 <= count <= 5 + elapsed / LONGEST_PAUSE.total_seconds()


def test_a_lost_connection_is_reopened(database: Database, notifier: Notifier) -> None:
    with listening(database) as listener, database.connect() as owner:
        notifier.wake()
        assert wake_ups(listener) == 1
        owner.execute(f"select pg_terminate_backend(pid) {OWN_CONNECTION}")
        eventually(lambda: owner.execute(f"select count(*) {OWN_CONNECTION}").fetchone() == (0,))
        notifier.wake()
        assert wake_ups(listener) >= 1


def test_requests_just_before_closing_are_notified(database: Database, notifier: Notifier) -> None:
    with listening(database) as listener:
        notifier.wake()
        assert wake_ups(listener) == 1
        notifier.wake()
        assert wake_ups(listener) == 1  # the next pause has started
        notifier.wake()
        notifier.close()
        assert wake_ups(listener) >= 1


def notifier_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == Notifier.name}


def test_closing_does_not_wait_for_an_unresponsive_server(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_relays, "CLOSE_SECONDS", 0.2)
    others, notifier = notifier_threads(), Notifier(database.api_url)
    with listening(database) as listener, database.connect() as owner:
        notifier.wake()
        assert wake_ups(listener) == 1
        [(backend,)] = owner.execute(f"select pid {OWN_CONNECTION}").fetchall()
        with frozen(backend):
            notifier.wake()
            notifier.close()
            assert notifier_threads() - others
        eventually(lambda: not notifier_threads() - others)


def test_a_terminated_connection_is_reported_as_lost(database: Database) -> None:
    connecting = TimeoutConnection.connect(driver_url(database.api_url), autocommit=True)
    with connecting as connection, database.connect() as owner:
        owner.execute("select pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            connection.execute(NOTIFY)


def test_a_wake_up_in_a_separate_session_does_not_wait_for_the_disk(database: Database) -> None:
    with psycopg.connect(driver_url(database.api_url), autocommit=True) as connection:
        assert has_set_up(connection)
        assert connection.execute("show synchronous_commit").fetchone() == ("off",)


def test_a_wake_up_in_a_pooled_session_does_not_wait_for_the_disk(database: Database) -> None:
    with psycopg.connect(driver_url(database.api_url)) as connection:
        connection.execute(NOTIFY_IN_LENT_SESSION)
        assert connection.execute("show synchronous_commit").fetchone() == ("off",)
