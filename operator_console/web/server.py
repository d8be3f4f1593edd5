"""Serve the console with gunicorn: one process with threads, so that wrong tokens are counted in its memory."""

from functools import partial
from typing import Any

from gunicorn.arbiter import Arbiter

from operator_console.settings import WebSettings
from operator_console.web.app import create_app
from operator_console.web.problems import PROBLEM_TYPES
from shared.log import get_logger
from shared.web.server import Server, gunicorn_options
from shared.web.worker import Worker

log = get_logger("console.server")

STOP_SECONDS = 20
"""Longer than the database's statement timeout, so that all requests can finish after SIGTERM."""
HANG_SECONDS = 60


def serve(settings: WebSettings) -> None:
    """Serve operators until SIGTERM."""
    Server(configuration(settings), partial(create_app, settings)).run()


def configuration(settings: WebSettings) -> dict[str, Any]:
    """Return gunicorn's configuration."""
    return gunicorn_options(settings.bind) | {
        "workers": 1,
        "threads": settings.threads,
        "worker_class": ConsoleWorker,
        "timeout": HANG_SECONDS,
        "graceful_timeout": STOP_SECONDS,
        "keepalive": 15,  # longer than the interval at which pages refresh themselves
        "when_ready": _log_listening,
        "post_worker_init": _start_workers,
        "worker_exit": _stop_workers,
    }


def _log_listening(server: Arbiter) -> None:
    log.info("console listening", bind=[str(listener) for listener in server.LISTENERS])


def _start_workers(worker: Any) -> None:
    worker.wsgi.start_workers()


def _stop_workers(_server: Arbiter, worker: Any) -> None:
    if worker.wsgi is not None:
        worker.wsgi.stop_workers()


class ConsoleWorker(Worker):
    """A worker of the console."""

    problem_types = PROBLEM_TYPES
