"""Serving the console with gunicorn: one process of threads, which is plenty for the people who look after an outbox.

One process, because failed sign-ins are counted in its memory, and so exactly.
"""

from functools import partial
from typing import Any

from gunicorn.arbiter import Arbiter

from operator_console.web.app import create_app
from operator_console.web.problems import KINDS
from operator_console.web.settings import WebSettings
from shared.log import get_logger
from shared.web.server import Server, listening_at
from shared.web.worker import Worker

log = get_logger("console.server")

STOP_SECONDS = 20
"""Above the longest statement that the database is given time for, so that SIGTERM lets every request finish."""
HANG_SECONDS = 60


def serve(settings: WebSettings) -> None:
    """Serve operators, until SIGTERM."""
    Server(configuration(settings), partial(create_app, settings)).run()


def configuration(settings: WebSettings) -> dict[str, Any]:
    """Return gunicorn's configuration."""
    return listening_at(settings.bind) | {
        "workers": 1,
        "threads": settings.threads,
        "worker_class": ConsoleWorker,
        "timeout": HANG_SECONDS,
        "graceful_timeout": STOP_SECONDS,
        "keepalive": 15,  # above the interval at which pages renew themselves
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


class ConsoleWorker(Worker):
    """A worker of the console."""

    kinds = KINDS
