"""Serving the app with gunicorn: processes of threads, which argon2 and the database leave free to run."""

import os
import shutil
from functools import partial
from typing import Any

from gunicorn.arbiter import Arbiter

from api_service.app import Api, create_app
from api_service.hashing import HASHERS
from api_service.problem_words import KINDS
from api_service.settings import COUNTS_FOLDER_VARIABLE, ApiSettings
from shared.log import get_logger
from shared.telemetry import begin_recording
from shared.web.server import Server, listening_at
from shared.web.worker import Worker

log = get_logger("api.server")

STOP_SECONDS = 30
"""Above the longest wait that a client may prefer, so that SIGTERM lets every request finish."""
HANG_SECONDS = 60
"""A worker whose main loop has not stirred for so long is killed. Its threads may take longer."""


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
        "worker_class": ApiWorker,
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


def end_work(_server: Arbiter, worker: Worker) -> None:
    """Have the app of a worker that ends let go of the database. Each worker comes here at its end."""
    if worker.wsgi is not None:
        worker.wsgi.end_work()


def forget_worker(_server: Arbiter, worker: Worker) -> None:
    """Let the cores be others' that a worker hashed on when it ended. The parent process comes here."""
    HASHERS.forget(worker.pid)


def remove_counts(_server: Arbiter) -> None:
    """Remove the folder in which the workers counted. Only the parent process comes here, at its end."""
    shutil.rmtree(os.environ[COUNTS_FOLDER_VARIABLE], ignore_errors=True)


class ApiWorker(Worker):
    """A worker of the API."""

    kinds = KINDS
