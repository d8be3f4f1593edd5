"""The health server, with clients that connect without sending a request."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from shared import health_server as health
from shared.health_server import Probes, health_server
from tests.support import plain_http
from tests.support.eventually import eventually

LOOPBACK = "127.0.0.1"
HANG_UP_AT_ONCE = struct.pack("ii", 1, 0)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(health, "MOST_AT_ONCE", 5)
    monkeypatch.setattr(health, "TIMEOUT_SECONDS", 0.2)
    with health_server((LOOPBACK, 0), Probes(lambda: True, lambda: ([], []), lambda: b"")) as port:
        yield port


def is_alive(port: int) -> bool:
    with suppress(httpx.TransportError):
        return plain_http.get(f"http://{LOOPBACK}:{port}/livez", timeout=5).is_success
    return False


def test_silent_and_disconnecting_clients_cause_no_log_event(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection((LOOPBACK, port)) as silent, socket.create_connection((LOOPBACK, port)) as abrupt:
        abrupt.sendall(b"GET /metr")
        abrupt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HANG_UP_AT_ONCE)
        abrupt.close()
        assert silent.recv(1) == b""  # the server closed it after its timeout
    assert is_alive(port)
    assert capfd.readouterr().err == ""


def test_the_number_of_connections_is_limited(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(health, "TIMEOUT_SECONDS", 60)
    with ExitStack() as flood:
        client = [flood.enter_context(socket.create_connection((LOOPBACK, port))) for _ in range(50)]
        eventually(lambda: sum(is_rejected(one) for one in client) == 45)
    eventually(lambda: is_alive(port))


def is_rejected(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
