"""The relay's own listener: alive, ready, and its metrics. For loopback or a private network."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from outbox_relay.supervision.stall_detector import Readiness

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


MOST_AT_ONCE = 50
"""Who comes beyond that is turned away: each takes a thread."""
PATIENCE_SECONDS = 10.0
"""For a request to come, and its answer to go."""

AskReadiness = Callable[[], Readiness]


@contextmanager
def health_listener(bind: tuple[str, int], ask: AskReadiness) -> Iterator[int]:
    """Serve /livez, /readyz and /metrics from a thread; yields the port, which is chosen where ``bind`` says 0.

    ``ask`` names what is not as it should be. Raises OSError if the port is taken.
    """
    server = make_server(*bind, _application(ask), server_class=_Server, handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def _application(ask: AskReadiness) -> Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]:
    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, content_type, body = _answer(environ["PATH_INFO"], ask)
        start_response(status, [("Content-Type", content_type), ("Cache-Control", "no-store")])
        return [body]

    return application


def _answer(path: str, ask: AskReadiness) -> tuple[str, str, bytes]:
    match path:
        case "/livez":
            return "200 OK", "application/json", b'{"status": "alive"}'
        case "/readyz":
            missing, held = ask()
            told = {"status": "not ready", "missing": missing} if missing else {"status": "ready"}
            body = json.dumps(told | {"held": held} if held else told)
            return "503 Service Unavailable" if missing else "200 OK", "application/json", body.encode()
        case "/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, generate_latest()
        case _:
            return "404 Not Found", "application/json", b'{"status": "no such page"}'


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = MOST_AT_ONCE

    def __init__(self, address: tuple[str, int], *more: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, *more)
        self._places = threading.Semaphore(MOST_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """StatementResult in a thread of its own, while there is a place for one."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """StatementResult, and free the place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, *_arguments: object) -> None:
        """Keep those out of the log who hang up, or never ask: it would quote their addresses, and not as JSON."""


class _Silent(WSGIRequestHandler):
    def setup(self) -> None:
        """Be patient, but not for ever."""
        super().setup()
        self.connection.settimeout(PATIENCE_SECONDS)

    def log_message(self, *_arguments: object) -> None:
        """Keep the requests of probes out of the log."""
