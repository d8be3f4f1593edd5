"""Serving an app with gunicorn, in processes of threads that tell of themselves as the rest of us does."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from shared.urls import place


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """An app under gunicorn, told everything by our settings and nothing by gunicorn's own."""

    def __init__(self, configuration: Mapping[str, Any], make_app: Callable[[], Flask]) -> None:
        self._configuration = configuration
        self._make_app = make_app
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its configuration."""
        for name, value in self._configuration.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app, in each worker after the fork."""
        return self._make_app()


def listening_at(bind: tuple[str, int]) -> dict[str, Any]:
    """Return what is configured alike for whatever is served."""
    return {
        "bind": place(*bind),
        "logger_class": QuietLogger,
        "control_socket_disable": True,
        # Gunicorn would believe SCRIPT_NAME and X-Forwarded-* of whoever connects from this host. TRUSTED_PROXIES says
        # whom we believe, and what.
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
    }


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's lines, in our form and from warnings up; requests are logged by ``observing``."""

    def setup(self, cfg: Any) -> None:
        """Hand everything to the root logger, which ``shared.log`` has configured."""
        self.cfg = cfg
        self.error_log.handlers.clear()
        self.error_log.propagate = True
