"""Serving the app with gunicorn: processes of threads, which argon2 and the database leave free to run."""

import os
import selectors
import shutil
import socket
import time
from concurrent.futures import Future
from enum import StrEnum
from functools import partial
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import TConn

from api_service.app import Api, create_app
from api_service.client_socket import ClientSocket, SlowRequestError
from api_service.errors import Code
from api_service.hashing import HASHERS
from api_service.problem_words import KINDS
from api_service.settings import COUNTS_FOLDER_VARIABLE, ApiSettings
from shared.log import get_logger
from shared.telemetry import begin_recording
from shared.web.server import ProblemWorker, Server, listening_at

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


def serve(settings: ApiSettings) -> None:
    """Serve clients, until SIGTERM."""
    Server(configuration(settings), partial(app_of_worker, settings)).run()


def app_of_worker(settings: ApiSettings) -> Api:
    """Return the app of one of the processes, which records traces if the environment asks for them."""
    begin_recording("api-service", os.environ)
    HASHERS.share_cores(settings.workers)
    return create_app(settings)


def configuration(settings: ApiSettings) -> dict[str, Any]:
    """Return gunicorn's configuration."""
    return listening_at(settings.bind) | {
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_class": Worker,
        "timeout": HANG_SECONDS,
        "graceful_timeout": STOP_SECONDS,
        "keepalive": 5,
        "when_ready": tell_listening,
        "worker_exit": end_work,
        "child_exit": forget_worker,
        "on_exit": remove_counts,
    }


def tell_listening(server: Arbiter) -> None:
    """Log that clients are served from now on."""
    log.info("api listening", bind=[str(listener) for listener in server.LISTENERS], workers=server.num_workers)


def end_work(_server: Arbiter, worker: ProblemWorker) -> None:
    """Have the app of a worker that ends let go of the database. Each worker comes here at its end."""
    if worker.wsgi is not None:
        worker.wsgi.end_work()


def forget_worker(_server: Arbiter, worker: ProblemWorker) -> None:
    """Let the cores be others' that a worker hashed on when it ended. The parent process comes here."""
    HASHERS.forget(worker.pid)


def remove_counts(_server: Arbiter) -> None:
    """Remove the folder in which the workers counted. Only the parent process comes here, at its end."""
    shutil.rmtree(os.environ[COUNTS_FOLDER_VARIABLE], ignore_errors=True)


class Worker(ProblemWorker):
    """A worker that waits for no request forever, and answers in our form what cannot be read."""

    kinds = KINDS

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

    def refusal_of(self, error: BaseException) -> StrEnum:
        """Decide what to call an error of gunicorn's, or of ours."""
        return Code.REQUEST_TIMEOUT if isinstance(error, SlowRequestError) else super().refusal_of(error)
