"""The HTTP server for probes and metrics: /livez, /readyz, /metrics. For loopback or a private network."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


MOST_AT_ONCE = 50
"""Each connection takes a thread; further ones are closed."""
TIMEOUT_SECONDS = 10.0
"""For a request to arrive, and for its response to be sent."""


@dataclass(frozen=True)
class Probes:
    """The state of a process. The server calls these from several threads at once.

    ``readiness`` returns the requirements that the process lacks, and the external causes that block its work.
    """

    is_alive: Callable[[], bool]
    readiness: Callable[[], tuple[Sequence[str], Sequence[str]]]
    metrics: Callable[[], bytes]


@contextmanager
def health_server(bind: tuple[str, int], probes: Probes) -> Iterator[int]:
    """Serve /livez, /readyz and /metrics from a thread; yields the port, which is chosen where ``bind`` says 0.

    Raises OSError if the port is taken.
    """
    server = make_server(*bind, _application(probes), server_class=_Server, handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def _application(probes: Probes) -> Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]:
    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, content_type, body = _response(environ["PATH_INFO"], probes)
        start_response(status, [("Content-Type", content_type), ("Cache-Control", "no-store")])
        return [body]

    return application


def _response(path: str, probes: Probes) -> tuple[str, str, bytes]:
    match path:
        case "/livez":
            is_alive = probes.is_alive()
            return _json({"status": "alive" if is_alive else "stuck"}, is_good=is_alive)
        case "/readyz":
            missing, held = probes.readiness()
            document = {"status": "not ready", "missing": missing} if missing else {"status": "ready"}
            return _json(document | ({"held": held} if held else {}), is_good=not missing)
        case "/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, probes.metrics()
        case _:
            return "404 Not Found", "application/json", b'{"status": "no such page"}'


def _json(document: dict[str, Any], *, is_good: bool) -> tuple[str, str, bytes]:
    return "200 OK" if is_good else "503 Service Unavailable", "application/json", json.dumps(document).encode()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = MOST_AT_ONCE

    def __init__(self, address: tuple[str, int], *more: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, *more)
        self._slots = threading.Semaphore(MOST_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle the request in a new thread, if fewer than MOST_AT_ONCE are open."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle the request, and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, *_arguments: object) -> None:
        """Do not log clients that hang up or stay silent: the standard log quotes their addresses, and not as JSON."""


class _Silent(WSGIRequestHandler):
    def setup(self) -> None:
        """Set the timeout."""
        super().setup()
        self.connection.settimeout(TIMEOUT_SECONDS)

    def log_message(self, *_arguments: object) -> None:
        """Do not log the requests of probes."""
