"""Serve the console with gunicorn: one process with threads, so that wrong tokens are counted in its memory."""

from functools import partial
from typing import Any

from gunicorn.arbiter import Arbiter

from migrations.revisions import REVISIONS
from operator_console.settings import WebSettings
from operator_console.web.app import create_app
from operator_console.web.metrics import READY
from operator_console.web.problems import PROBLEM_TYPES
from shared.log import get_logger
from shared.web.admin import AdminListener
from shared.web.server import Server, gunicorn_options
from shared.web.worker import Worker

log = get_logger("console.server")

KEEP_ALIVE_SECONDS = 15
"""How long an idle connection stays open: longer than the interval at which pages refresh themselves."""
STOP_SECONDS = 20
"""Longer than the database's statement timeout, so that all requests can finish after SIGTERM."""


def serve(settings: WebSettings) -> None:
    """Serve operators until SIGTERM."""
    Server(configuration(settings), partial(create_app, settings)).run()


def configuration(settings: WebSettings) -> dict[str, Any]:
    """Return gunicorn's configuration."""
    return gunicorn_options(settings.bind) | {
        "workers": 1,
        "threads": settings.threads,
        "worker_class": ConsoleWorker,
        "graceful_timeout": STOP_SECONDS,
        "keepalive": KEEP_ALIVE_SECONDS,
        "when_ready": partial(_start, settings),
        "post_worker_init": _start_workers,
    }


def _start(settings: WebSettings, server: Arbiter) -> None:
    AdminListener("console", settings.admin_bind, settings.database_url, REVISIONS, READY).start(server)
    log.info("console listening", bind=[str(listener) for listener in server.LISTENERS])


def _start_workers(worker: Any) -> None:
    worker.wsgi.start_workers()


class ConsoleWorker(Worker):
    """A worker of the console."""

    problem_types = PROBLEM_TYPES
