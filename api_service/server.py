"""Serving the app with gunicorn: processes of threads, which argon2 and the database leave free to run."""

import json
import os
import selectors
import shutil
import socket
import time
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from api_service.app import Api, create_app
from api_service.client_socket import ClientSocket, SlowRequestError
from api_service.errors import Code
from api_service.problem_words import KINDS
from api_service.problems import MEDIA_TYPE, problem_document
from api_service.settings import COUNTS_FOLDER_VARIABLE, ApiSettings
from shared.log import get_logger
from shared.request_ids import request_id_for
from shared.telemetry import begin_recording

log = get_logger("api.server")

STOP_SECONDS = 30
"""Above the longest wait that a client may prefer, so that SIGTERM lets every request finish."""
HANG_SECONDS = 60
"""A worker whose main loop has not stirred for so long is killed. Its threads may take longer."""
MOST_DRAINED = 65_536
LINGER_SECONDS = 2
"""How long a client may take to hang up after its last answer; cut off at once, it might not get to read it."""
REQUEST_SECONDS = 10
"""How long a request may take to arrive, which with its body is at most a few dozen KiB."""


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """The app under gunicorn, told everything by our settings and nothing by gunicorn's own."""

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its configuration."""
        for name, value in configuration(self.settings).items():
            self.cfg.set(name, value)

    def load(self) -> Api:
        """Make the app, in each worker after the fork."""
        begin_recording("api-service", os.environ)
        return create_app(self.settings)


def configuration(settings: ApiSettings) -> dict[str, Any]:
    """Return gunicorn's configuration."""
    host, port = settings.bind
    return {
        "bind": f"{host}:{port}",
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_class": Worker,
        "logger_class": QuietLogger,
        "timeout": HANG_SECONDS,
        "graceful_timeout": STOP_SECONDS,
        "keepalive": 5,
        "control_socket_disable": True,
        "when_ready": tell_listening,
        "on_exit": remove_counts,
    }


def tell_listening(server: Arbiter) -> None:
    """Log that clients are served from now on."""
    log.info("api listening", bind=[str(listener) for listener in server.LISTENERS], workers=server.num_workers)


def remove_counts(_server: Arbiter) -> None:
    """Remove the folder in which the workers counted. Only the parent process comes here, at its end."""
    shutil.rmtree(os.environ[COUNTS_FOLDER_VARIABLE], ignore_errors=True)


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's lines, in our form and from warnings up; requests are logged by ``observing``."""

    def setup(self, cfg: Any) -> None:
        """Hand everything to the root logger, which ``shared.log`` has configured."""
        self.cfg = cfg
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A worker that waits for no request forever, and answers in our form what cannot be read."""

    def handle(self, connection: TConn) -> Any:
        """Serve a request on the connection, if it arrives in time."""
        if not isinstance(connection.sock, ClientSocket):
            connection.sock = ClientSocket(connection.sock)
        connection.sock.expect_request(REQUEST_SECONDS)
        return super().handle(connection)

    def finish_request(self, connection: TConn, done: "Future[Any]") -> None:
        """Keep the connection, or part from it without keeping anybody waiting.

        Gunicorn's own parting waits for the client in the loop that accepts all others.
        """
        is_to_close = not (done.cancelled() or done.exception() or done.result())
        if is_to_close and self.alive:
            self._part(connection)
        else:
            super().finish_request(connection, done)

    def _part(self, connection: TConn) -> None:
        """Say that no more will come, and let the poller see the client hang up (RFC 9112 §9.6)."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            connection.sock.settimeout(0)
        except OSError:
            self._close(connection)
            return
        connection.timeout = time.monotonic() + LINGER_SECONDS
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._drain, connection))
        self.pending_conns.append(connection)  # which are closed when their time is up

    def _drain(self, connection: TConn, client: ClientSocket) -> None:
        """Drop what still comes; close when the client has."""
        try:
            if client.recv(MOST_DRAINED):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.poller.unregister(client)
        self.pending_conns.remove(connection)
        self._close(connection)

    def _close(self, connection: TConn) -> None:
        self.nr_conns -= 1
        connection.close()

    def handle_error(self, request: Any, client: Any, _address: Any, error: BaseException) -> None:
        """Answer with a problem and log the error's class: its text, and gunicorn's line, quote the request."""
        code = refusal_of(error)
        request_id = request_id_for(offered_id(request))
        if code is Code.INTERNAL_ERROR:
            log.error("request failed", request_id=request_id, exc_info=error)
        else:
            log.info("request refused unread", error=type(error).__name__, request_id=request_id)
        try:
            client.sendall(raw_answer(code, request_id))
        except OSError:
            log.debug("client gone", request_id=request_id)


def offered_id(request: Any) -> str | None:
    """Return the client's own id for the request, if its headers have been read."""
    return dict(request.headers).get("X-REQUEST-ID") if request else None


def refusal_of(error: BaseException) -> Code:
    """Decide what to call an error of gunicorn's."""
    match error:
        case SlowRequestError():
            return Code.REQUEST_TIMEOUT
        case LimitRequestLine():
            return Code.URI_TOO_LONG
        case LimitRequestHeaders():
            return Code.HEADERS_TOO_LARGE
        case ParseException():
            return Code.BAD_REQUEST
        case _:
            return Code.INTERNAL_ERROR


def raw_answer(code: Code, request_id: str) -> bytes:
    """Return a whole HTTP/1.1 answer with the problem."""
    status: HTTPStatus = KINDS[code].status
    body = json.dumps(problem_document(code, request_id)).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
