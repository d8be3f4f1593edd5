"""Instrument every request: a request id, security headers, one log line and one observation of its duration."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from flask import Flask, Response, g, request
from prometheus_client import Histogram

from shared.log import get_logger

log = get_logger("web.requests")

HSTS = "max-age=31536000"
"""One year (RFC 6797 §6.1.1), without subdomains, which may belong to others."""
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


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
