"""A server that is read-only for a while, like one demoted to a standby."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from api_service.outbox_signals.wake_relays import Notifier
from shared.db.connection_settings import driver_url
from shared.db.timeouts import TimeoutConnection
from shared.vocabulary import WAKE_CHANNEL
from tests.support.api import ApiUnderTest
from tests.support.databases import execute
from tests.support.eventually import eventually

WRITING_AGAIN = "reset default_transaction_read_only"


@pytest.fixture
def api(own_api: ApiUnderTest) -> ApiUnderTest:
    """An app that connects after its database became read-only."""
    return own_api


@pytest.fixture
def read_only(api: ApiUnderTest) -> Iterator[str]:
    """Make new sessions read-only; yield the statement that makes later sessions writable."""
    name, cluster = api.database.name, api.database.cluster
    execute(cluster, f"alter database {name} set default_transaction_read_only = on")
    yield f"alter database {name} {WRITING_AGAIN}"
    execute(cluster, f"alter database {name} {WRITING_AGAIN}")


def test_the_api_recovers_from_a_read_only_server_without_a_restart(api: ApiUnderTest, read_only: str) -> None:
    refused = [api.register() for _ in range(3)]
    assert {(response.status_code, response.json["code"]) for response in refused} == {(503, "database_unavailable")}
    execute(api.database.cluster, read_only)
    assert api.register().status_code == 202


def test_no_error_ends_the_notifier(api: ApiUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, is_broken = TimeoutConnection.connect, threading.Event()

    def broken_once(*arguments: object, **options: object) -> TimeoutConnection:
        if not is_broken.is_set():
            is_broken.set()
            raise RuntimeError
        return connect(*arguments, **options)  # type: ignore[arg-type]  # passes its arguments on

    notifier = Notifier(api.database.api_url)
    with psycopg.connect(driver_url(api.database.owner_url), autocommit=True) as listener:
        listener.execute(f"listen {WAKE_CHANNEL}")
        monkeypatch.setattr(TimeoutConnection, "connect", broken_once)
        notifier.wake()
        eventually(lambda: len(list(listener.notifies(timeout=1, stop_after=1))) == 1)
    notifier.close()
    assert is_broken.is_set()
