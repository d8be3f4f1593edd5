"""Serving the console with gunicorn: one process of threads, which is plenty for the people who look after an outbox.

One process, because failed sign-ins are counted in its memory, and so exactly.
"""

import json
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from operator_console.web.app import Console, create_app
from operator_console.web.errors import Code
from operator_console.web.problems import KINDS, MEDIA_TYPE, problem_document
from operator_console.web.settings import WebSettings
from shared.log import get_logger
from shared.request_ids import request_id_for

log = get_logger("console.server")

STOP_SECONDS = 20
"""Above the longest statement that the database is given time for, so that SIGTERM lets every request finish."""
HANG_SECONDS = 60


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """The app under gunicorn, told everything by our settings and nothing by gunicorn's own."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its configuration."""
        for name, value in configuration(self.settings).items():
            self.cfg.set(name, value)

    def load(self) -> Console:
        """Make the app, in the worker after the fork."""
        return create_app(self.settings)


def configuration(settings: WebSettings) -> dict[str, Any]:
    """Return gunicorn's configuration."""
    host, port = settings.bind
    return {
        "bind": f"{host}:{port}",
        "workers": 1,
        "threads": settings.threads,
        "worker_class": Worker,
        "logger_class": QuietLogger,
        "timeout": HANG_SECONDS,
        "graceful_timeout": STOP_SECONDS,
        "keepalive": 15,  # above the interval at which pages renew themselves
        "control_socket_disable": True,
        "when_ready": _tell_listening,
        "post_worker_init": _begin_work,
        "worker_exit": _end_work,
    }


def _tell_listening(server: Arbiter) -> None:
    log.info("console listening", bind=[str(listener) for listener in server.LISTENERS])


def _begin_work(worker: Any) -> None:
    worker.wsgi.begin_work()


def _end_work(_server: Arbiter, worker: Any) -> None:
    if worker.wsgi is not None:
        worker.wsgi.end_work()


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's lines, in our form and from warnings up; requests are logged by ``observing``."""

    def setup(self, cfg: Any) -> None:
        """Hand everything to the root logger, which ``shared.log`` has configured."""
        self.cfg = cfg
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A worker that answers in our form what cannot be read."""

    def handle_error(self, request: Any, client: Any, _address: Any, error: BaseException) -> None:
        """Answer with a problem and log the error's class: its text, and gunicorn's line, quote the request."""
        code = _refusal_of(error)
        request_id = request_id_for(dict(request.headers).get("X-REQUEST-ID") if request else None)
        if code is Code.INTERNAL_ERROR:
            log.error("request failed", request_id=request_id, exc_info=error)
        else:
            log.info("request refused unread", error=type(error).__name__, request_id=request_id)
        try:
            client.sendall(_raw_answer(code, request_id))
        except OSError:
            log.debug("client gone", request_id=request_id)


def _refusal_of(error: BaseException) -> Code:
    match error:
        case LimitRequestLine():
            return Code.URI_TOO_LONG
        case LimitRequestHeaders():
            return Code.HEADERS_TOO_LARGE
        case ParseException():
            return Code.BAD_REQUEST
        case _:
            return Code.INTERNAL_ERROR


def _raw_answer(code: Code, request_id: str) -> bytes:
    status = KINDS[code].status
    body = json.dumps(problem_document(code, request_id)).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
