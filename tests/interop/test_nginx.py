"""nginx with kept connections in front of API and console, whose listening sockets systemd keeps during a restart."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from threading import Event, Thread
from typing import Self

import httpx
import pytest

from tests.support.consoles import operators_token, running_console
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.nginx import nginx
from tests.support.processes import Running, running_api

# On a busy machine, the requests that waited for a restart would wait too long for a database connection.
PATIENT = "from shared.db import engine; engine.POOL_TIMEOUT_SECONDS = 60; from {cli} import main; main(['serve'])"
PATIENT_API = ("python", "-c", PATIENT.format(cli="api_service.cli"))
PATIENT_CONSOLE = ("python", "-c", PATIENT.format(cli="operator_console.web.cli"))
RESTARTS = 5
SENDERS = 20
"""So many requests wait during a restart, however long it takes."""
PAUSE_SECONDS = 0.4
BETWEEN_RESTARTS = 50
"""Requests that end between two restarts."""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The socket that systemd would hold."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield listener


@contextmanager
def proxied(listener: socket.socket, **headers: str) -> Iterator[httpx.Client]:
    """Yield a client of an nginx in front of the socket."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    with (
        nginx(listener.getsockname()[1]) as url,
        httpx.Client(base_url=url, timeout=60, limits=limits, headers=headers) as client,
    ):
        yield client


class Load:
    """Requests of several senders at a steady rate, from the start of the block to its end."""

    def __init__(self, send: Callable[[int], httpx.Response]) -> None:
        self._send = send
        self._numbers = count()
        self._results: list[str] = []
        self._stop = Event()
        self._senders = [Thread(target=self._run, args=[share / SENDERS]) for share in range(SENDERS)]

    def __enter__(self) -> Self:
        for sender in self._senders:
            sender.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for sender in self._senders:
            sender.join()

    def wait_for_more(self) -> None:
        """Wait until further requests have ended. They are more than the senders, so most began after this call."""
        expected = len(self._results) + BETWEEN_RESTARTS
        eventually(lambda: len(self._results) >= expected, seconds=120)

    def failures(self) -> list[str]:
        return [failure for failure in self._results if failure]

    def _run(self, offset: float) -> None:
        self._stop.wait(offset * PAUSE_SECONDS)
        while not self._stop.is_set():
            self._results.append(self._failure_of(next(self._numbers)))
            self._stop.wait(PAUSE_SECONDS)

    def _failure_of(self, number: int) -> str:
        try:
            response = self._send(number)
        except httpx.HTTPError as error:
            return repr(error)
        return "" if response.is_success else f"{response.status_code} {response.text}"


def failures_during_restarts(
    start: Callable[[], AbstractContextManager[Running]], send: Callable[[int], httpx.Response]
) -> list[str]:
    """Restart the process under load, and return the failures of requests."""
    load = Load(send)
    with ExitStack() as last:
        last.enter_context(start())
        with load:
            for _ in range(RESTARTS):
                load.wait_for_more()
                last.close()
                last.enter_context(start())
            load.wait_for_more()
    return load.failures()


@contextmanager
def stopped_at_end(starting: AbstractContextManager[Running]) -> Iterator[Running]:
    """Run the process during the block, and stop it as systemd does."""
    with starting as process:
        yield process
        process.process.terminate()
        assert process.process.wait(60) == 0, process.log_text()


def test_restarts_of_the_api_fail_no_request(database: Database, listener: socket.socket) -> None:
    def start() -> AbstractContextManager[Running]:
        return stopped_at_end(running_api(database, command=PATIENT_API, listener=listener))

    with proxied(listener) as client:

        def send(number: int) -> httpx.Response:
            # Of many requests with a password at once, the API rejects some.
            reset = {"email": f"{number}@example.org"}
            return client.post("/v1/password-resets", json=reset) if number % 2 else client.get("/favicon.ico")

        assert failures_during_restarts(start, send) == []


def test_restarts_of_the_console_fail_no_request(database: Database, listener: socket.socket) -> None:
    def start() -> AbstractContextManager[Running]:
        return stopped_at_end(running_console(database, command=PATIENT_CONSOLE, listener=listener))

    with proxied(listener, Authorization=f"Bearer {operators_token(database)}") as client:

        def send(number: int) -> httpx.Response:
            return client.get("/v1/messages" if number % 2 else "/sign-in")

        assert failures_during_restarts(start, send) == []
