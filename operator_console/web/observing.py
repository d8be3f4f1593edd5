"""What happens around every request: an id for it, safe headers, one log line and one count."""

import time

from flask import Flask, Response, g, request

from operator_console.web.metrics import REQUEST_DURATION
from shared.log import get_logger
from shared.request_ids import request_id_for

log = get_logger("console.requests")

KNOWN_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
HSTS = "max-age=31536000"
"""A year (RFC 6797 §6.1.1)."""


def observe(app: Flask, *, is_https: bool) -> None:
    """Have every request of the app observed; ``is_https`` says how people reach it."""
    app.before_request(_begin)
    app.after_request(_end)
    if is_https:
        app.after_request(_keep_to_https)


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id_for(request.headers.get("X-Request-Id"))


def _end(answer: Response) -> Response:
    answer.headers["X-Request-Id"] = g.request_id
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    answer.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    answer.headers.setdefault("Cache-Control", "no-store")
    _record(answer.status_code, time.perf_counter() - g.started)
    return answer


def _keep_to_https(answer: Response) -> Response:
    answer.headers["Strict-Transport-Security"] = HSTS
    return answer


def _record(status: int, seconds: float) -> None:
    # The route, never the path: a filter's address rides in the query.
    route = request.url_rule.rule if request.url_rule else "unmatched"
    # Methods are the client's words; as labels they must not be without number.
    method = request.method if request.method in KNOWN_METHODS else "other"
    REQUEST_DURATION.labels(route, method, str(status)).observe(seconds)
    log.info(
        "request served",
        method=method,
        route=route,
        status=status,
        took_ms=round(seconds * 1000, 1),
        request_id=g.request_id,
    )
