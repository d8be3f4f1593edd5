"""The API as a process: startup, messages and recovery."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from devstack.cluster import Cluster
from shared.secrets import code_for, link_token_for
from tests.support import plain_http
from tests.support.api import PASSWORD, counted
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.forwarding import forwarding, unused_port
from tests.support.keys import KEY, PUBLIC_URL, SECRET_KEYS
from tests.support.processes import RunningApi, completed, running_api

pytestmark = pytest.mark.slow

JSON = "application/json"
ADA = {"email": "ada@example.org", "password": PASSWORD, "full_name": "Ada Lovelace"}
TOKEN_OF = "select id from tokens where user_id = %s"


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def api(shared_database: Database) -> Iterator[RunningApi]:
    """An API for all tests that do not change its state."""
    with running_api(shared_database) as api:
        yield api


def test_the_log_contains_no_personal_data_and_no_secret(api: RunningApi, shared_database: Database) -> None:
    registration = plain_http.post(f"{api.base_url}/v1/registrations", json=ADA).json()
    with shared_database.connect() as connection:
        [(token_id,)] = connection.execute(TOKEN_OF, [registration["id"]]).fetchall()
    code, link_token = code_for(token_id, KEY), link_token_for(token_id, KEY)
    plain_http.get(f"{api.base_url}/v1/registrations/{registration['id']}")
    plain_http.get(f"{api.base_url}/activate?token={link_token}")
    plain_http.get(f"{api.base_url}/nowhere/{link_token}?email=ada@example.org")
    plain_http.post(f"{api.base_url}/v1/activations", json={"token": link_token, "code": code})
    raw(api, f"GET /activate?token={link_token} HTTP/9.9\r\n\r\n".encode())
    raw(api, f"GET /activate?token={link_token}&{'x' * 5000} HTTP/1.1\r\n\r\n".encode())
    assert plain_http.post(f"{api.base_url}/activate", data={"token": link_token}).status_code == 200

    served = [line for line in api.log_lines() if line["event"] == "request served"]
    assert {line["route"] for line in served} >= {
        "/v1/registrations",
        "/v1/registrations/<uuid:registration_id>",
        "/v1/activations",
        "/activate",
        "unmatched",
    }
    assert all({"method", "status", "took_ms", "request_id", "service", "timestamp"} <= line.keys() for line in served)
    for secret in (registration["id"], link_token, str(token_id), "example.org", "Ada", PASSWORD, "argon2"):
        assert secret not in api.log_text()
    assert not re.search(rf"(?<!\d){code}(?!\d)", api.log_text())


def test_an_unexpected_exception_is_logged_once_and_returns_500(api: RunningApi, shared_database: Database) -> None:
    with shared_database.connect() as owner:
        owner.execute("alter table users rename column full_name to renamed")
        response = plain_http.post(f"{api.base_url}/v1/registrations", json=ADA)
        owner.execute("alter table users rename column renamed to full_name")

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    [line] = [line for line in api.log_lines() if line["event"] == "request failed"]
    assert (line["level"], line["error"]) == ("error", "ProgrammingError")
    assert line["request_id"] == response.json()["request_id"]
    assert all(re.fullmatch(r".+\.py:\d+", frame) for frame in line["trace"])
    assert line["trace"]
    assert line["sqlstate"] == "42703"
    assert "ada@" not in api.log_text()


def test_invalid_http_returns_a_problem(api: RunningApi) -> None:
    expected = {
        b"GET / HTTP/9.9\r\n\r\n": (400, "bad_request"),
        b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n": (414, "uri_too_long"),
        b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n": (431, "headers_too_large"),
    }
    for request_bytes, (status, code) in expected.items():
        head, _, body = raw(api, request_bytes).partition(b"\r\n\r\n")

        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"application/problem+json" in head
        assert (json.loads(body)["status"], json.loads(body)["code"]) == (status, code)


def test_the_size_limit_covers_a_body_without_a_length(api: RunningApi, shared_database: Database) -> None:
    body = json.dumps(ADA).encode().ljust(16 * 1024)
    before = counted(shared_database)

    answers = [
        plain_http.post(f"{api.base_url}/v1/registrations", content=iter(chunks), headers={"Content-Type": JSON})
        for chunks in ([body[:100], body[100:]], [body, b" "], [b" " * 100_000, body])
    ]

    assert [response.status_code for response in answers] == [202, 413, 413]
    assert counted(shared_database) == tuple(count + 1 for count in before)


def test_workers_share_their_metrics(database: Database) -> None:
    with running_api(database, API_WORKERS="2") as api:
        assert len(eventually(lambda: api.children() if len(api.children()) == 2 else [])) == 2
        with ThreadPoolExecutor(4) as clients:
            list(clients.map(lambda _: plain_http.get(f"{api.base_url}/nowhere"), range(20)))
        plain_http.post(f"{api.base_url}/v1/registrations", json=ADA)

        counts = api.admin("/metrics").text

    assert 'signpost_registrations_total{channel="email"} 1.0' in counts
    assert "signpost_api_ready 1.0" in counts
    assert 'signpost_http_request_duration_seconds_count{method="GET",route="unmatched",status="404"} 20.0' in counts


def test_a_worker_that_dies_is_replaced(api: RunningApi) -> None:
    [first] = api.children()
    os.kill(first, signal.SIGKILL)

    eventually(lambda: api.children() not in ([], [first]))
    eventually(api.responds)


def test_without_its_database_the_api_starts_reports_it_and_recovers(database: Database) -> None:
    port = unused_port()
    url = database.cluster.tcp_url(database.name, user="api", port=port)
    with running_api(database, DATABASE_URL=url) as api:
        ready = api.admin("/readyz")
        refused = plain_http.post(f"{api.base_url}/v1/registrations", json=ADA)
        assert (ready.status_code, ready.json()["missing"]) == (503, ["database"])
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert "Retry-After" in refused.headers

        for _outage in range(2):
            with forwarding(port, to=database.cluster.port):
                eventually(lambda: api.admin("/readyz").is_success)
                assert plain_http.post(f"{api.base_url}/v1/registrations", json=ADA).status_code == 202
            assert plain_http.post(f"{api.base_url}/v1/registrations", json=ADA).status_code == 503

        assert not [line for line in api.log_lines() if line["level"] == "error"]
    assert counted(database) == (2, 2, 2)


def test_all_errors_in_the_settings_are_reported_together() -> None:
    environment = {"API_THREADS": "many", "ACTIVATION_SMS_LIFETIME_SECONDS": "3600", "API_BIND": "8000"}
    for command in ("serve", "check-settings"):
        done = run(command, environment)
        assert done.returncode == 2
        assert set(done.stderr.splitlines()) == {
            "settings: DATABASE_URL is not set",
            "settings: SECRET_KEYS is not set",
            "settings: PUBLIC_URL is not set",
            "settings: API_THREADS='many' is not a whole number",
            "settings: ACTIVATION_SMS_LIFETIME_SECONDS='3600' is not from 60 to 600",
            "settings: API_BIND='8000' is not host:port, or [IPv6]:port",
        }


def test_check_config_confirms_valid_settings() -> None:
    environment = {
        "DATABASE_URL": "postgresql+psycopg://api@nowhere/signpost",
        "SECRET_KEYS": SECRET_KEYS,
        "PUBLIC_URL": PUBLIC_URL,
    }

    assert run("check-settings", environment).returncode == 0


def test_migrate_brings_an_empty_database_to_readiness(cluster: Cluster) -> None:
    with fresh_database(cluster, template="template0") as empty:
        assert run("migrate", {"DATABASE_URL": empty.owner_url}).returncode == 0
        assert run("migrate", {"DATABASE_URL": empty.owner_url}).returncode == 0
        with running_api(empty) as api:
            assert api.admin("/readyz").status_code == 200


def test_migrate_leaves_a_newer_schema_alone_and_rejects_a_foreign_one(cluster: Cluster) -> None:
    with fresh_database(cluster) as database, database.connect() as connection:
        ended = []
        for revision in ("9999", "ae1027a6acf0"):
            connection.execute("update alembic_version set version_num = %s", [revision])
            done = run("migrate", {"DATABASE_URL": database.owner_url})
            ended.append((done.returncode, done.stdout, "Traceback" in done.stderr))
    assert ended == [(0, "schema: revision 9999 is of a newer release, unchanged\n", False), (1, "", False)]


def test_migrating_an_unreachable_database_fails_with_one_line() -> None:
    done = run("migrate", {"DATABASE_URL": f"postgresql+psycopg://api@127.0.0.1:{unused_port()}/signpost"})

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert json.loads(line)["event"] == "schema not migrated"


def run(command: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return completed(("api-service", command), environment)


def raw(api: RunningApi, request_bytes: bytes) -> bytes:
    """Send the bytes and return everything received until the server closes the connection."""
    parts: Any = urlsplit(api.base_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        return b"".join(iter(lambda: connection.recv(65_536), b""))
