"""Serve callbacks with gunicorn: one process with threads."""

from functools import partial
from typing import Any

from gunicorn.arbiter import Arbiter

from migrations.revisions import REVISIONS
from receiver.callbacks.app import create_app
from receiver.callbacks.metrics import READY
from receiver.callbacks.problems import PROBLEM_TYPES
from receiver.callbacks.settings import CallbackSettings
from shared.log import get_logger
from shared.web.admin import AdminListener
from shared.web.server import Server, gunicorn_options
from shared.web.worker import Worker

log = get_logger("callbacks.server")

KEEP_ALIVE_SECONDS = 5
"""How long an idle connection stays open."""
STOP_SECONDS = 20
"""Longer than the database's statement timeout, so that all requests can finish after SIGTERM."""


def serve(settings: CallbackSettings) -> None:
    """Serve gateways until SIGTERM."""
    Server(configuration(settings), partial(create_app, settings)).run()


def configuration(settings: CallbackSettings) -> dict[str, Any]:
    """Return gunicorn's configuration."""
    return gunicorn_options(settings.bind) | {
        "workers": 1,
        "threads": settings.threads,
        "worker_class": CallbackWorker,
        "graceful_timeout": STOP_SECONDS,
        "keepalive": KEEP_ALIVE_SECONDS,
        "when_ready": partial(_start, settings),
    }


def _start(settings: CallbackSettings, server: Arbiter) -> None:
    AdminListener("callbacks", settings.admin_bind, settings.database_url, REVISIONS, READY).start(server)
    log.info("callbacks listening", bind=[str(listener) for listener in server.LISTENERS])


class CallbackWorker(Worker):
    """A worker of the receiver of callbacks."""

    problem_types = PROBLEM_TYPES
