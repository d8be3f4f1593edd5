"""The API finishes its requests before it exits."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.api import PASSWORD, counted
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.processes import running_api

pytestmark = pytest.mark.slow

WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
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
