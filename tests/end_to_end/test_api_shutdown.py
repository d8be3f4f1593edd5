"""The API finishes its requests before it exits."""

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.api import PASSWORD, counted
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.freezing import frozen
from tests.support.processes import RunningApi, running_api

pytestmark = pytest.mark.slow

WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
# Gunicorn's own limits never end an idle connection, so that only ours can.
WITHOUT_OTHER_LIMITS = (
    "from gunicorn.workers import gthread; gthread.STOP_KEEPALIVE_LINGER = 3600;"
    "from api_service import server; server.KEEP_ALIVE_SECONDS = server.STOP_SECONDS = 3600;"
    "from api_service.cli import main; main(['serve'])"
)
ESTABLISHED = "01"
"""In /proc/net/tcp."""
ADA = {"email": "ada@example.org", "password": PASSWORD}


def test_sigterm_lets_a_request_finish_and_leaves_nothing_behind(database: Database, tmp_path: Path) -> None:
    with running_api(database, TMPDIR=str(tmp_path)) as api, ThreadPoolExecutor(1) as client:
        assert list(tmp_path.glob("signpost-*"))
        url = f"{api.base_url}/v1/registrations"
        response = client.submit(httpx.post, url, json=ADA, headers={"Prefer": "wait=2"}, timeout=30)
        eventually(lambda: counted(database) == (1, 1, 1))

        api.process.terminate()

        assert response.result(60).status_code == 202
        assert api.process.wait(30) == 0
        assert list(tmp_path.iterdir()) == []


def test_a_stopping_api_is_alive_and_not_ready(database: Database) -> None:
    with running_api(database) as api, ThreadPoolExecutor(1) as client, database.connect() as holder:
        with holder.transaction():
            holder.execute("lock table users in share mode")  # delays the response, and so the stop
            response = client.submit(httpx.post, f"{api.base_url}/v1/registrations", json=ADA, timeout=30)
            with database.connect() as watcher:
                eventually(lambda: watcher.execute(WAITING).fetchone() == (1,), seconds=60)
            api.process.terminate()
            eventually(lambda: api.admin("/readyz").status_code == 503)
            assert api.admin("/readyz").json()["missing"] == ["listener"]
            assert "signpost_api_ready 0.0" in api.admin("/metrics").text
            assert api.admin("/livez").is_success
        assert response.result(60).status_code == 202


def test_a_taken_admin_port_ends_the_api_and_leaves_nothing_behind(database: Database, tmp_path: Path) -> None:
    with running_api(database) as first:
        ended = pytest.raises(AssertionError, match=r"ended with 1: .*already in use.*not started")
        with ended, running_api(database, API_ADMIN_BIND=first.admin_bind, TMPDIR=str(tmp_path)):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reported", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_requests_received_before_a_signal_get_their_response(database: Database, reported: signal.Signals) -> None:
    with running_api(database, API_THREADS="16") as api, ThreadPoolExecutor(4) as pool, ExitStack() as ending:
        clients = [ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30)) for _ in range(4)]
        assert {client.get("/favicon.ico").status_code for client in clients} == {204}  # connects all clients
        holder, watcher = (ending.enter_context(database.connect()) for _ in range(2))
        with holder.transaction():
            holder.execute("lock table users in share mode")  # delays all responses until after the signal
            answers = [pool.submit(client.post, "/v1/registrations", json=ADA) for client in clients]
            eventually(lambda: watcher.execute(WAITING).fetchone() == (4,), seconds=60)
            api.process.send_signal(reported)

        assert {response.result(60).status_code for response in answers} == {202}
        assert api.process.wait(30) == 0


def test_an_idle_connection_does_not_delay_a_stop(database: Database) -> None:
    with running_api(database, command=("python", "-c", WITHOUT_OTHER_LIMITS)) as api, httpx.Client() as idle:
        assert idle.get(f"{api.base_url}/favicon.ico").status_code == 204
        api.process.terminate()
        assert api.process.wait(60) == 0


def test_a_stopping_api_refuses_clients_while_it_finishes_requests(database: Database) -> None:
    with running_api(database) as api, ThreadPoolExecutor(1) as client, ExitStack() as ending:
        holder, watcher = (ending.enter_context(database.connect()) for _ in range(2))
        with holder.transaction():
            holder.execute("lock table users in share mode")
            response = client.submit(httpx.post, f"{api.base_url}/v1/registrations", json=ADA, timeout=60)
            eventually(lambda: watcher.execute(WAITING).fetchone() == (1,))
            api.process.terminate()
            eventually(lambda: not accepts(api))
            assert not response.done()
        assert response.result(60).status_code == 202


def test_a_stopping_api_serves_all_clients_that_have_connected(database: Database) -> None:
    with running_api(database) as api, ThreadPoolExecutor(5) as clients:
        [worker] = api.children()
        with frozen(worker):
            responses = [clients.submit(httpx.get, f"{api.base_url}/favicon.ico", timeout=60) for _ in range(5)]
            eventually(lambda: connections_to(api) == 5)
            api.process.terminate()
            eventually(lambda: has_pending(worker, signal.SIGTERM))
        assert [response.result(60).status_code for response in responses] == [204] * 5


def connections_to(api: RunningApi) -> int:
    """Count the connections that clients have opened, accepted or not."""
    port = f":{address_of(api)[1]:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return len([line for line in lines if line[1].endswith(port) and line[3] == ESTABLISHED])


def has_pending(pid: int, number: signal.Signals) -> bool:
    """Return whether the signal was sent to the process, which has not received it."""
    [pending] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd:")]
    return bool(int(pending.split()[1], 16) & 1 << number - 1)


def accepts(api: RunningApi) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(address_of(api), timeout=30):
        return True
    return False


def address_of(api: RunningApi) -> tuple[str, int]:
    parts: Any = urlsplit(api.base_url)
    return parts.hostname, parts.port
