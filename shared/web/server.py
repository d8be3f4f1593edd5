"""Run an app with gunicorn, configured and logged like the other processes."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from shared.urls import host_and_port


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


def gunicorn_options(bind: tuple[str, int]) -> dict[str, Any]:
    """Return the options that all services share."""
    return {
        "bind": host_and_port(*bind),
        "logger_class": QuietLogger,
        "control_socket_disable": True,
        # By default, gunicorn trusts SCRIPT_NAME and X-Forwarded-* of all clients on this host. Signpost evaluates
        # these headers itself, according to TRUSTED_PROXIES.
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
    }


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's log events from warnings up, as JSON. ``instrumentation`` logs the requests."""

    def setup(self, cfg: Any) -> None:
        """Propagate events to the root logger, which ``shared.log`` configures."""
        self.cfg = cfg
        self.error_log.handlers.clear()
        self.error_log.propagate = True
