"""What happens around every request: what is observed of any, and the trace that it is part of."""

from http import HTTPStatus

from flask import Flask, Response, g, request

from api_service.metrics import REQUEST_DURATION
from shared.tracing import recorder, set_traceparent, traceparent_in
from shared.web.observing import Observer, route

OBSERVER = Observer(REQUEST_DURATION, methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def observe(app: Flask, *, is_https: bool) -> None:
    """Have every request of the app observed; ``is_https`` says how people reach it."""
    app.after_request(_end_trace)  # the last of all to be called: Flask goes backwards
    OBSERVER.watch(app, is_https=is_https)
    app.before_request(_begin_trace)


def _begin_trace() -> None:
    """Continue the client's trace, or begin one if traces are recorded; what is enqueued meanwhile belongs to it."""
    parent = traceparent_in(request.headers.get("traceparent"))
    taker = recorder()
    g.span = taker.begin(f"{OBSERVER.method()} {route()}", parent) if taker else None
    set_traceparent(g.span.traceparent if g.span else parent)


def _end_trace(answer: Response) -> Response:
    if g.span:
        status = answer.status_code
        facts = {"http.request.method": OBSERVER.method(), "http.route": route(), "http.response.status_code": status}
        g.span.end(facts, has_failed=status >= HTTPStatus.INTERNAL_SERVER_ERROR)
    set_traceparent(None)
    return answer
