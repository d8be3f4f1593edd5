"""What happens around every request: an id for it, safe headers, one log line and one count."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import Flask, Response, g, request
from prometheus_client import Histogram

from shared.log import get_logger
from shared.web.request_ids import request_id_for

log = get_logger("web.requests")

HSTS = "max-age=31536000"
"""A year (RFC 6797 §6.1.1). Not for subdomains, which may be someone else's."""
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Observer:
    """How one service observes: what it counts, the methods it serves, the headers of answers that do not set them."""

    durations: Histogram
    methods: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)

    def watch(self, app: Flask, *, is_https: bool) -> None:
        """Have every request of the app observed; ``is_https`` says how people reach it."""
        app.before_request(_begin)
        app.after_request(self._end)
        if is_https:
            app.after_request(_keep_to_https)

    def method(self) -> str:
        """Name the request's method. Methods are the client's words; as labels they must not be without number."""
        method = request.method
        return method if method in self.methods else "other"

    def _end(self, answer: Response) -> Response:
        headers = answer.headers
        headers["X-Request-Id"] = g.request_id
        for name, value in {**SAFE_HEADERS, **self.headers}.items():
            if name not in headers:
                headers.add(name, value)
        self._record(answer.status_code, time.perf_counter() - g.started)
        return answer

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
    """Name the request's route. Never its path: ids are capabilities; tokens and addresses ride in the query."""
    matched = request.url_rule
    return matched.rule if matched else "unmatched"


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id_for(request.headers.get("X-Request-Id"))


def _keep_to_https(answer: Response) -> Response:
    answer.headers["Strict-Transport-Security"] = HSTS
    return answer
