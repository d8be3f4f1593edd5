"""What happens around every request: an id for it, safe headers, one log line and one count."""

import time
from http import HTTPStatus

from flask import Flask, Response, g, request

from api_service.metrics import REQUEST_DURATION
from shared.log import get_logger
from shared.request_ids import request_id_for
from shared.tracing import recorder, set_traceparent, traceparent_in

log = get_logger("api.requests")

KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


HSTS = "max-age=31536000"
"""A year (RFC 6797 §6.1.1). Not for subdomains, which may be someone else's."""


def observe(app: Flask, *, is_https: bool) -> None:
    """Have every request of the app observed; ``is_https`` says how people reach it."""
    app.before_request(_begin)
    app.after_request(_end)
    if is_https:
        app.after_request(_keep_to_https)


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id_for(request.headers.get("X-Request-Id"))
    _begin_trace()


def _begin_trace() -> None:
    """Continue the client's trace, or begin one if traces are recorded; what is enqueued meanwhile belongs to it."""
    parent = traceparent_in(request.headers.get("traceparent"))
    taker = recorder()
    g.span = taker.begin(f"{_method()} {_route()}", parent) if taker else None
    set_traceparent(g.span.traceparent if g.span else parent)


def _end_trace(status: int) -> None:
    if g.span:
        facts = {"http.request.method": _method(), "http.route": _route(), "http.response.status_code": status}
        g.span.end(facts, has_failed=status >= HTTPStatus.INTERNAL_SERVER_ERROR)
    set_traceparent(None)


def _end(answer: Response) -> Response:
    answer.headers["X-Request-Id"] = g.request_id
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers.setdefault("Referrer-Policy", "no-referrer")
    answer.headers.setdefault("Cache-Control", "no-store")
    _record(answer.status_code, time.perf_counter() - g.started)
    _end_trace(answer.status_code)
    return answer


def _keep_to_https(answer: Response) -> Response:
    answer.headers["Strict-Transport-Security"] = HSTS
    return answer


def _record(status: int, seconds: float) -> None:
    route, method = _route(), _method()
    REQUEST_DURATION.labels(route, method, str(status)).observe(seconds)
    log.info(
        "request served",
        method=method,
        route=route,
        status=status,
        took_ms=round(seconds * 1000, 1),
        request_id=g.request_id,
    )


def _route() -> str:
    # Never the path: a registration's id is a capability, and a link's token rides in the query.
    return request.url_rule.rule if request.url_rule else "unmatched"


def _method() -> str:
    # Methods are the client's words; as labels they must not be without number.
    return request.method if request.method in KNOWN_METHODS else "other"
