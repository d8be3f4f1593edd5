"""Connections on which the network acknowledges packets but returns no data: only a timeout reveals them."""

from collections.abc import Callable, Iterator

import pytest

from api_service.outbox_signals.wake_relays import Notifier
from devstack.cluster import Cluster
from shared.db.timeouts import TimeoutConnection
from shared.vocabulary import WAKE_CHANNEL
from tests.support.api import api_on
from tests.support.databases import Database
from tests.support.forwarding import TcpProxy, forwarding


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[TcpProxy]:
    with forwarding(0, to=cluster.port) as proxy:
        yield proxy


@pytest.fixture
def through_the_proxy(cluster: Cluster, database: Database, proxy: TcpProxy) -> str:
    return cluster.tcp_url(database.name, "api", proxy.port)


@pytest.fixture
def fall_silent(proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Silence the open connections, with a timeout of one second."""

    def fall_silent() -> None:
        proxy.fall_silent()
        monkeypatch.setattr(TimeoutConnection, "timeout_seconds", 1.0)

    return fall_silent


def test_a_silent_connection_fails_one_request_and_the_next_succeeds(
    database: Database, through_the_proxy: str, fall_silent: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_on(database, DATABASE_URL=through_the_proxy) as api:
        api.registered()
        fall_silent()
        response = api.register(email="grace@example.org")
        assert (response.status_code, response.json["code"]) == (503, "database_unavailable")
        monkeypatch.undo()
        api.registered(email="grace@example.org")


def test_a_notifier_reconnects_after_a_silent_connection(
    database: Database, through_the_proxy: str, fall_silent: Callable[[], None]
) -> None:
    notifier = Notifier(through_the_proxy)
    with database.connect() as listener:
        listener.execute(f"listen {WAKE_CHANNEL}")
        notifier.wake()
        assert len(list(listener.notifies(timeout=30, stop_after=1))) == 1
        fall_silent()
        notifier.wake()
        assert len(list(listener.notifies(timeout=30, stop_after=1))) == 1
    notifier.close()
