"""Connections that the network has dropped while it still acknowledges packets: only silence shows it."""

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
def road(cluster: Cluster) -> Iterator[TcpProxy]:
    with forwarding(0, to=cluster.port) as road:
        yield road


@pytest.fixture
def over_the_road(cluster: Cluster, database: Database, road: TcpProxy) -> str:
    return cluster.tcp_url(database.name, "api", road.port)


@pytest.fixture
def fall_silent(road: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Silence the open connections. From then on a response may take a second."""

    def fall_silent() -> None:
        road.fall_silent()
        monkeypatch.setattr(TimeoutConnection, "timeout_seconds", 1.0)

    return fall_silent


def test_a_silent_connection_fails_one_request_and_the_next_succeeds(
    database: Database, over_the_road: str, fall_silent: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_on(database, DATABASE_URL=over_the_road) as api:
        api.registered()
        fall_silent()
        response = api.register(email="grace@example.org")
        assert (response.status_code, response.json["code"]) == (503, "database_unavailable")
        monkeypatch.undo()
        api.registered(email="grace@example.org")


def test_a_notifier_reconnects_after_a_silent_connection(
    database: Database, over_the_road: str, fall_silent: Callable[[], None]
) -> None:
    notifier = Notifier(over_the_road)
    with database.connect() as listener:
        listener.execute(f"listen {WAKE_CHANNEL}")
        notifier.wake()
        assert len(list(listener.notifies(timeout=30, stop_after=1))) == 1
        fall_silent()
        notifier.wake()
        assert len(list(listener.notifies(timeout=30, stop_after=1))) == 1
    notifier.close()
