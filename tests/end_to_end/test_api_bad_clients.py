"""Clients that send invalid HTTP, or send too slowly, cost the API almost nothing."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from devstack.cluster import Cluster
from tests.support.databases import fresh_database
from tests.support.eventually import eventually
from tests.support.processes import RunningApi, running_api

pytestmark = pytest.mark.slow

BODY_TO_COME = b"POST /v1/registrations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Request-Id: mine\r\n"
FORM_TO_COME = b"POST /activate HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
HASTY = (
    "from shared.web import worker; worker.REQUEST_SECONDS = 0.5; worker.RESPONSE_SECONDS = 0.5;"
    "from api_service.cli import main; main()"
)


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[RunningApi]:
    """An API with four threads and short timeouts, shared because no request writes."""
    with (
        fresh_database(cluster) as database,
        running_api(database, command=[sys.executable, "-c", HASTY, "serve"], API_THREADS="4") as api,
    ):
        yield api


@pytest.mark.parametrize(
    "body",
    [b"zz\r\n", b"2\r\n{}XX", b"-1\r\n", b"2;\x00\r\n{}\r\n", b"2\r\n{}\r\n0\r\nno header\r\n\r\n"],
)
def test_a_body_in_broken_chunks_is_a_bad_request(api: RunningApi, body: bytes) -> None:
    with connected(api) as client:
        client.sendall(BODY_TO_COME + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        head, problem = response(client)

    assert head[0] == "HTTP/1.1 400 Bad Request"
    assert {"Content-Type: application/problem+json", "Connection: close", "X-Request-Id: mine"} <= set(head)
    assert (problem["code"], problem["request_id"]) == ("bad_request", "mine")
    assert [line for line in api.log_lines() if line["level"] == "error"] == []


def test_a_body_with_a_transfer_compression_is_rejected(api: RunningApi) -> None:
    with connected(api) as client:
        client.sendall(BODY_TO_COME + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        head, problem = response(client)

    assert (head[0].split()[1], problem["code"]) == ("415", "unsupported_media_type")


@pytest.mark.parametrize(
    "hosts", [b"", b"Host:\r\n", b"Host: a, b\r\n", b"Host: a/b\r\n", b"Host: a:x\r\n", b"Host: a\r\nHost: b\r\n"]
)
def test_a_request_without_exactly_one_valid_host_is_rejected(api: RunningApi, hosts: bytes) -> None:
    with connected(api) as client:
        client.sendall(b"GET /.well-known/jwks.json HTTP/1.1\r\n" + hosts + b"\r\n")
        head, problem = response(client)

    assert (head[0], problem["code"]) == ("HTTP/1.1 400 Bad Request", "bad_request")


@pytest.mark.parametrize(
    "started", [b"1.0\r\n", b"1.1\r\nHost: [::1]:8000\r\n", b"1.1\r\nHost: A-b.example.org:80\r\n"]
)
def test_a_request_with_one_host_or_over_http_1_0_is_accepted(api: RunningApi, started: bytes) -> None:
    with connected(api) as client:
        client.sendall(b"GET /.well-known/jwks.json HTTP/" + started + b"\r\n")
        assert b" 200 OK\r\n" in received_until(b"}\n", client)


def test_a_response_to_an_oversized_body_announces_the_end_of_the_connection(api: RunningApi) -> None:
    with connected(api) as client:
        client.sendall(BODY_TO_COME + b"Content-Length: 70000\r\n\r\n" + b"a" * 70_000)
        head, problem = response(client)

    assert (head[0], problem["code"]) == ("HTTP/1.1 413 REQUEST ENTITY TOO LARGE", "body_too_large")
    assert "Connection: close" in head


def test_a_client_that_disconnects_causes_no_internal_error(api: RunningApi) -> None:
    for framing in (b"Content-Length: 100", b"Transfer-Encoding: chunked"):
        with connected(api) as client:
            client.sendall(BODY_TO_COME + framing + b"\r\n\r\n5\r\n{")
            client.shutdown(socket.SHUT_WR)
            head, _problem = response(client)
        assert head[0].startswith("HTTP/1.1 400 ")

    assert [line for line in api.log_lines() if line["level"] == "error"] == []


@pytest.mark.parametrize(
    "started",
    [
        BODY_TO_COME + b"Content-Length: 100\r\n\r\n{",
        BODY_TO_COME + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        FORM_TO_COME + b"Content-Length: 100\r\n\r\ntoken=",
        b"GET /.well-known/jwks.json HTTP/1.1\r\nHos",
    ],
)
def test_unfinished_requests_time_out(api: RunningApi, started: bytes) -> None:
    with ExitStack() as crowd:
        clients = [crowd.enter_context(connected(api)) for _ in range(12)]
        for client in clients:
            client.sendall(started)
        eventually(api.responds)
        for client in clients:
            head, problem = response(client)
            assert head[0] == "HTTP/1.1 408 Request Timeout"
            assert "Connection: close" in head
            assert problem["code"] == "request_timeout"

    assert [line for line in api.log_lines() if line["level"] == "error"] == []


def test_clients_that_do_not_disconnect_block_no_other_client(api: RunningApi) -> None:
    with ExitStack() as crowd:
        clients = [crowd.enter_context(connected(api)) for _ in range(12)]
        for client in clients:
            client.sendall(BODY_TO_COME + b"Content-Length: 100\r\n\r\n{")
        for client in clients:
            assert received_until(b"}", client).startswith(b"HTTP/1.1 408 ")
        assert api.responds()
        for client in clients:
            assert client.recv(1) == b""


def test_clients_that_do_not_read_responses_block_no_other_client(api: RunningApi) -> None:
    with ExitStack() as crowd:
        for client in [crowd.enter_context(connected(api, buffer=4096)) for _ in range(8)]:
            send_until_the_buffers_are_full(client)
        eventually(api.responds)

    assert [line for line in api.log_lines() if line["level"] == "error"] == []


def test_forwarded_addresses_of_clients_are_ignored(api: RunningApi) -> None:
    for path, header in (
        ("/x/docs", b"SCRIPT_NAME: /x"),
        ("/x", b"PATH_INFO: /docs"),
        ("//docs", b"A: b"),
    ):
        with connected(api) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n".encode() + header + b"\r\n\r\n")
            head, problem = response(client)
        assert (head[0], problem["code"]) == ("HTTP/1.1 404 NOT FOUND", "not_found")


def test_an_error_response_to_a_head_request_has_no_body(api: RunningApi) -> None:
    with connected(api) as client:
        client.sendall(b"HEAD /.well-known/jwks.json HTTP/1.1\r\n\r\n")
        with client.makefile("rb") as stream:
            assert stream.read().endswith(b"\r\n\r\n")


def test_a_client_that_sends_after_the_last_response_is_disconnected_before_silent_clients(api: RunningApi) -> None:
    with connected(api) as silent, connected(api) as client:
        client.sendall(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert received_until(b"}\n", client).startswith(b"HTTP/1.1 200 OK\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            keep_sending(client)
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.recv(1)


def test_a_slow_request_does_not_extend_its_time(api: RunningApi) -> None:
    with connected(api) as client:
        client.sendall(BODY_TO_COME + b"Content-Length: 100000\r\n\r\n")
        client.settimeout(0.05)
        received = b""
        for _ in range(100):
            try:
                client.sendall(b" ")
                received = client.recv(1)
                break
            except TimeoutError:
                continue
        assert received == b"H"


def test_an_idle_connection_can_be_reused(api: RunningApi) -> None:
    with connected(api) as client:
        for _ in range(2):
            client.settimeout(0.7)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(10)
            client.sendall(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n")
            assert received_until(b"}\n", client).startswith(b"HTTP/1.1 200 OK\r\n")


@contextmanager
def connected(api: RunningApi, *, buffer: int | None = None) -> Iterator[socket.socket]:
    """Connect, with a receive buffer of that many bytes."""
    address: Any = urlsplit(api.base_url)
    with socket.socket() as client:
        client.settimeout(10)
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.connect((address.hostname, address.port))
        yield client


def keep_sending(client: socket.socket) -> None:
    while True:
        client.sendall(b"x")
        time.sleep(0.1)


def send_until_the_buffers_are_full(client: socket.socket) -> None:
    """Send requests for long responses without reading any, until the buffers of both ends are full."""
    client.settimeout(0.2)
    with suppress(OSError):
        while True:
            client.sendall(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n" * 100)


def received_until(end: bytes, client: socket.socket) -> bytes:
    received = b""
    while not received.endswith(end):
        more = client.recv(65_536)
        assert more, f"hung up after {received!r}"
        received += more
    return received


def response(client: socket.socket) -> tuple[list[str], dict[str, Any]]:
    """Return the lines of the response's head and its problem body, then close the connection."""
    with client.makefile("rb") as stream:
        head = [line.decode().strip() for line in iter(stream.readline, b"\r\n")]
        [length] = [int(line.partition(":")[2]) for line in head if line.startswith("Content-Length:")]
        problem = json.loads(stream.read(length))
    client.close()
    return head, problem
