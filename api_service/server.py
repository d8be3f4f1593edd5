"""Serve the app with gunicorn: several processes, each with a pool of threads."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.arbiter import Arbiter
from sqlalchemy import Engine

from api_service.app import Api, create_app
from api_service.http.problems import PROBLEM_TYPES
from api_service.metrics import READY
from api_service.settings import ApiSettings, Founding
from migrations.revisions import REVISIONS
from shared.log import get_logger
from shared.tracing import start_tracing
from shared.web.admin import AdminListener
from shared.web.server import Server, gunicorn_options
from shared.web.worker import Worker

log = get_logger("api.server")

KEEP_ALIVE_SECONDS = 5
"""How long an idle connection stays open."""
STOP_SECONDS = 30
"""Longer than the longest ``Prefer: wait``, so that requests finish after SIGTERM."""


def serve(settings: ApiSettings) -> None:
    """Serve HTTP until SIGTERM."""
    Server(configuration(settings), partial(app_of_worker, settings)).run()


def app_of_worker(settings: ApiSettings) -> Api:
    """Create the app of one worker process, with traces if the environment enables them."""
    start_tracing("api-service", os.environ)
    return create_app(settings)


def configuration(settings: ApiSettings) -> dict[str, Any]:
    """Return gunicorn's configuration."""
    return gunicorn_options(settings.bind) | {
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_class": ApiWorker,
        "graceful_timeout": STOP_SECONDS,
        "keepalive": KEEP_ALIVE_SECONDS,
        "when_ready": partial(start, settings),
    }


def start(settings: ApiSettings, server: Arbiter) -> None:
    """Serve probes and metrics, and log that the server accepts connections. Gunicorn calls this in the parent."""
    AdminListener(
        "api", settings.admin_bind, settings.database_url, REVISIONS, READY, held=_held(settings.organizations)
    ).start(server)
    log.info("api listening", bind=[str(listener) for listener in server.LISTENERS], workers=server.num_workers)


def _held(founding: Founding) -> Callable[[Engine], list[str]]:
    if founding is Founding.OFF:
        return lambda _engine: []
    from api_service.use_cases.organizations import held_foundings  # noqa: PLC0415 - an option

    return held_foundings


class ApiWorker(Worker):
    """A gunicorn worker that answers protocol errors with the API's problem types."""

    problem_types = PROBLEM_TYPES
