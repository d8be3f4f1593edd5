"""Flask with Signpost's routing and logging. Each request gets an id, security headers, a log line and a duration."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from flask import Flask, Request, Response, g, request
from gunicorn.http.errors import ParseException
from prometheus_client import Histogram
from sqlalchemy.exc import DBAPIError
from werkzeug.routing import Map, MapAdapter

from shared.db.errors import describe
from shared.log import get_logger

UNROUTED_PATH = "/ "
"""A path that matches no route."""
HSTS = "max-age=31536000"
"""One year (RFC 6797 §6.1.1), without subdomains, which may belong to others."""
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = get_logger("web.app")


class ExactMap(Map):
    """A map without Werkzeug's redirect for doubled slashes, whose target contains the client's Host header."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"merge_slashes": False}))


class WebApp(Flask):
    """Flask with JSON logs. Protocol errors go to the server."""

    url_map_class = ExactMap

    def close(self) -> None:
        """Stop threads and close connections. A worker process calls this when it exits."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that finds the route; //docs finds no route, although Werkzeug treats it like /docs.

        Otherwise it could bypass a proxy's rule for /docs.
        """
        adapter = super().create_url_adapter(request)
        if adapter and request and request.environ["PATH_INFO"].startswith("//"):
            adapter.path_info = UNROUTED_PATH
        return adapter

    def handle_exception(self, e: Exception) -> Response:
        """Respond to an unexpected error, but leave protocol errors to the server, which closes the connection."""
        if isinstance(e, ParseException):
            raise e
        return super().handle_exception(e)

    def log_exception(self, exc_info: Any) -> None:
        """Log an unexpected error by its class and trace. Flask's own message would quote the path."""
        error = exc_info[1]
        details = describe(error) if isinstance(error, DBAPIError) else {}
        log.error("request failed", request_id=g.get("request_id"), exc_info=exc_info, **details)


@dataclass(frozen=True)
class RequestObserver:
    """Observe one service's requests: its histogram, the methods to count by name, and default response headers."""

    durations: Histogram
    methods: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)

    def watch(self, app: Flask, *, is_https: bool) -> None:
        """Add the hooks to the app; ``is_https`` adds HSTS."""
        app.before_request(_start)
        app.after_request(self._finish)
        if is_https:
            app.after_request(_add_hsts)

    def method(self) -> str:
        """Return the method as a label. Clients can invent methods, so unknown ones count as ``other``."""
        method = request.method
        return method if method in self.methods else "other"

    def _finish(self, response: Response) -> Response:
        headers = response.headers
        headers["X-Request-Id"] = g.request_id
        for name, value in {**SAFE_HEADERS, **self.headers}.items():
            if name not in headers:
                headers.add(name, value)
        self._record(response.status_code, time.perf_counter() - g.started)
        return response

    def _record(self, status: int, seconds: float) -> None:
        served, method = route(), self.method()
        self.durations.labels(served, method, str(status)).observe(seconds)
        log.info(
            "request served",
            method=method,
            route=served,
            status=status,
            took_ms=round(seconds * 1000, 1),
            request_id=g.request_id,
        )


def route() -> str:
    """Return the request's route. Paths and queries contain ids, tokens and addresses, so they are not logged."""
    matched = request.url_rule
    return matched.rule if matched else "unmatched"


def _start() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id_for(request.headers.get("X-Request-Id"))


def _add_hsts(response: Response) -> Response:
    response.headers["Strict-Transport-Security"] = HSTS
    return response


def request_id_for(offered: str | None) -> str:
    """Return the client's request id if it is safe in headers and logs, else a new one."""
    return offered if offered and _REQUEST_ID.fullmatch(offered) else str(uuid4())
