"""Run an app with gunicorn, configured and logged like the other processes."""

import gc
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from shared.host import ALIVE, ServiceManager
from shared.log import get_logger
from shared.urls import host_and_port

STUCK_SECONDS = 60
"""/livez fails, and the watchdog is no longer notified, when no worker has made progress for this long."""
REPLACE_SECONDS = 90
"""Gunicorn replaces a worker that makes no progress for this long."""

log = get_logger("web.server")


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn, configured by Signpost's settings only."""

    def __init__(self, configuration: Mapping[str, Any], make_app: Callable[[], Flask]) -> None:
        self._configuration = configuration
        self._make_app = make_app
        super().__init__()

    def load_config(self) -> None:
        """Apply the configuration."""
        for name, value in self._configuration.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Create the app, in each worker after the fork."""
        return self._make_app()

    def run(self) -> None:
        """Serve until SIGTERM."""
        # A garbage collection writes to each object that it visits. Without this, each worker would soon have copies of
        # the pages that it shares with this process.
        gc.freeze()
        WatchedArbiter(self).run()


class WatchedArbiter(Arbiter):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's parent process, which notifies systemd's watchdog while workers make progress.

    It notifies from its own loop, which runs once a second. So if the loop is blocked, systemd also notices.
    """

    def __init__(self, app: BaseApplication) -> None:
        super().__init__(app)
        self.progress = WorkerProgress(self.WORKERS)
        self._manager = ServiceManager(os.environ)
        self._was_stuck = False

    def manage_workers(self) -> None:
        """Start missing workers, and notify the watchdog. Gunicorn's loop calls this.

        Notify with each call. With half of WatchdogSec in between, the next notification after the replacement of
        stuck workers would come after systemd has killed this process.
        """
        super().manage_workers()
        is_stuck = not self.progress.is_alive()
        if not is_stuck:
            self._manager.notify(ALIVE, "STATUS=Serving")
        elif not self._was_stuck:
            self._manager.notify("STATUS=No worker makes progress")
            log.error("workers stuck", workers=len(self.WORKERS))
        self._was_stuck = is_stuck


class WorkerProgress:
    """Whether any of gunicorn's workers makes progress (``Worker.notify``)."""

    def __init__(self, workers: Mapping[int, Any]) -> None:
        self._workers = workers
        self._progressed_at = time.monotonic()

    def is_alive(self) -> bool:
        """Return whether a worker has made progress within STUCK_SECONDS, or may still be starting."""
        heartbeats = [_heartbeat(worker) for worker in list(self._workers.values())]
        self._progressed_at = max([self._progressed_at, *heartbeats])
        return time.monotonic() - self._progressed_at < STUCK_SECONDS


def _heartbeat(worker: Any) -> float:
    """Return the time of a worker's last progress, on the monotonic clock; 0 for one that has just ended."""
    try:
        return float(worker.tmp.last_update())
    except (OSError, ValueError):
        return 0


def close_app(_server: Arbiter | None, worker: Any) -> None:
    """Close the app of a worker that exits. Gunicorn calls this in the worker, also if it has no app yet."""
    if worker.wsgi is not None:
        worker.wsgi.close()


def gunicorn_options(bind: tuple[str, int]) -> dict[str, Any]:
    """Return the options that all services share."""
    return {
        "bind": host_and_port(*bind),
        "worker_exit": close_app,
        "timeout": REPLACE_SECONDS,
        "logger_class": QuietLogger,
        "control_socket_disable": True,
        # By default, gunicorn trusts SCRIPT_NAME and X-Forwarded-* of all clients on this host. Signpost evaluates
        # these headers itself, according to TRUSTED_PROXIES.
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
    }


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's log events from warnings up, as JSON. ``WebApp`` logs the requests."""

    def setup(self, cfg: Any) -> None:
        """Propagate events to the root logger, which ``shared.log`` configures."""
        self.cfg = cfg
        self.error_log.handlers.clear()
        self.error_log.propagate = True
