"""The console's process: its log, bulk actions after its end, slow clients and slow counts."""

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import plain_http
from tests.support.consoles import RunningConsole, operators_token, running_console
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.operators import put_dead
from tests.support.outbox import Outbox

pytestmark = pytest.mark.slow

A_FORM = b"Content-Type: application/x-www-form-urlencoded"
HALF_A_HEAD = b"GET /sign-in HTTP/1.1\r\nHos"
HALF_A_BODY = b"POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n" + A_FORM + b"\r\n\r\ntoken="
# Requests time out after one second instead of ten.
WITH_SHORT_TIMEOUTS = (
    "from shared.web import worker; worker.REQUEST_SECONDS = 1;"
    "from operator_console.web.cli import main; main(['serve'])"
)
CONSOLE_WITH_SHORT_TIMEOUTS = ("python", "-c", WITH_SHORT_TIMEOUTS)
PENDING = "select count(*) from outbox_messages where status = 'pending'"


def ask(console: RunningConsole, method: str, path: str, token: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return plain_http.request(method, f"{console.base_url}{path}", headers=headers, timeout=30, **options)


def test_the_log_contains_no_address_and_no_token(database: Database, outbox: Outbox) -> None:
    token = operators_token(database)
    [message_id] = put_dead(outbox, last_error="'550 <ada@example.org> unknown'")
    with running_console(database) as console:
        ask(console, "GET", "/v1/messages?recipient=ada@example.org", token)
        ask(console, "GET", "/messages?recipient=ada@example.org", token)
        ask(console, "GET", f"/nowhere/{token}", token)
        ask(console, "POST", f"/v1/messages/{message_id}/reveal", token, json={"reason": "ada@example.org called"})
        plain_http.post(
            f"{console.base_url}/sign-in", data={"token": token, "next": "/messages?recipient=ada@example.org"}
        )
        console.process.send_signal(signal.SIGTERM)
        assert console.process.wait(timeout=30) == 0
        served = [line for line in console.log_lines() if line["event"] == "request served"]
        assert {line["route"] for line in served} >= {"/v1/messages", "/messages", "unmatched", "/sign-in"}
        for secret in (token, "ada@", "example.org"):
            assert secret not in console.log_text()


def test_a_bulk_action_continues_after_its_console_was_killed(database: Database, outbox: Outbox) -> None:
    token = operators_token(database)
    ids = put_dead(outbox, count=6)
    body = {"filter": {"dead_reason": "rejected"}, "reason": "mended", "per_minute": 60}
    with running_console(database) as console:
        path = ask(console, "POST", "/v1/requeues", token, json=body).headers["Location"]
        eventually(lambda: outbox.number(PENDING))
    assert 0 < outbox.number(PENDING) < len(ids)
    outbox.execute("update bulk_actions set per_minute = 60000, next_step_at = now()")
    with running_console(database) as console:
        eventually(lambda: ask(console, "GET", path, token).json()["status"] == "done")
        assert ask(console, "GET", path, token).json()["acted"] == len(ids)
    assert outbox.number("select sum(cardinality(message_ids)) from operator_actions") == len(ids)


def test_invalid_http_gets_a_problem_response(database: Database) -> None:
    with running_console(database) as console:
        response = plain_http.get(f"{console.base_url}/{'x' * 5000}", timeout=30)
        assert (response.status_code, response.json()["code"]) == (414, "uri_too_long")
        assert "xxx" not in console.log_text()


def test_slow_requests_time_out_and_block_no_other_client(database: Database) -> None:
    with (
        running_console(database, command=CONSOLE_WITH_SHORT_TIMEOUTS, CONSOLE_THREADS="2") as console,
        ExitStack() as crowd,
    ):
        address: Any = urlsplit(console.base_url)
        for incomplete in (HALF_A_HEAD, HALF_A_BODY):
            for _ in range(4):
                client = crowd.enter_context(socket.create_connection((address.hostname, address.port), timeout=60))
                client.sendall(incomplete)
            eventually(console.responds, seconds=60)
            assert client.recv(100).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert [line for line in console.log_lines() if line["level"] == "error"] == []


def test_counts_that_take_long_leave_a_thread_for_other_requests(database: Database) -> None:
    token = operators_token(database)
    count = {"filter": {"dead_reason": "rejected"}, "reason": "a look", "dry_run": True}
    asks: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/v1/messages/groups", {}),
        ("GET", "/v1/stats", {}),
        ("POST", "/v1/requeues", {"json": count}),
        ("GET", "/v1/messages/groups", {}),
    ]
    with (
        running_console(database, CONSOLE_THREADS="2") as console,
        database.connect() as owner,
        ThreadPoolExecutor(len(asks)) as clients,
    ):
        with owner.transaction():
            owner.execute("lock table outbox_messages")
            waiting = [clients.submit(ask, console, method, path, token, **body) for method, path, body in asks]
            eventually(lambda: sum(response.done() for response in waiting) == len(asks) - 1)
            assert plain_http.get(f"{console.base_url}/sign-in", timeout=30).status_code == 200
        responses = [response.result() for response in waiting]
    assert sorted(response.status_code for response in responses) == [200, 503, 503, 503]
    refused = [response for response in responses if response.status_code == 503]
    assert {(response.json()["code"], response.headers["Retry-After"]) for response in refused} == {("busy", "5")}


def test_paths_with_two_slashes_are_not_found(database: Database) -> None:
    with running_console(database) as console:
        for path in ("//sign-in", "//messages"):
            assert plain_http.get(f"{console.base_url}{path}", timeout=30).status_code == 404
        assert [line for line in console.log_lines() if line["level"] == "error"] == []
