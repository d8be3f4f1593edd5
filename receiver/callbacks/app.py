"""The WSGI application: a route for each kind of SMS gateway and mail provider.

Each route checks the MAC in its address or the request's signature, reads what the gateway says, and commits it before
it responds. A gateway repeats a report that was not acknowledged, and repetitions are ignored.
"""

from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, request
from sqlalchemy import Engine
from werkzeug.exceptions import MethodNotAllowed, NotFound

from receiver.callbacks import generic_json, kannel, twilio
from receiver.callbacks.mail.routes import add_mail_routes
from receiver.callbacks.metrics import OBSERVER, RECEIPTS, REFUSED, REPEATED
from receiver.callbacks.problems import WrongSignatureError, handle_problems
from receiver.callbacks.settings import CallbackSettings
from shared.db.engine import create_database_engine
from shared.reports.receipts import Verdict
from shared.reports.report import STORE_REPORT, DeliveryReport, ReportSource
from shared.reports.return_paths import CALLBACKS_PATH, BouncedMessage, Gateway, reported_message
from shared.texts import diagnostic_of
from shared.web.app import WebApp
from shared.web.requests import MOST_BYTES_READ, read_body

EXTENSION = "callbacks"
LONGEST_ID, LONGEST_CODE = 200, 40


@dataclass(frozen=True)
class Services:
    """What the routes need."""

    settings: CallbackSettings
    engine: Engine


class CallbackApp(WebApp):
    """Flask with a database engine."""

    def close(self) -> None:
        """Close the database connections."""
        self.extensions[EXTENSION].engine.dispose()


def create_app(settings: CallbackSettings) -> CallbackApp:
    """Return the application. It connects to the database later, so the worker process can be forked first."""
    app = CallbackApp("receiver.callbacks", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES_READ
    engine = create_database_engine(
        settings.database_url, application_name="signpost-receiver callbacks", pool_size=settings.threads
    )
    app.extensions[EXTENSION] = Services(settings, engine)
    OBSERVER.watch(app, is_https=settings.url.startswith("https:"))
    handle_problems(app)
    _add_routes(app)
    add_mail_routes(app, settings, engine)
    return app


def _add_routes(app: Flask) -> None:
    app.add_url_rule(f"{CALLBACKS_PATH}/{Gateway.TWILIO}/<token>", view_func=_twilio, methods=["POST"])
    app.add_url_rule(f"{CALLBACKS_PATH}/{Gateway.KANNEL}/<token>", view_func=_kannel, methods=["GET"])
    app.add_url_rule(f"{CALLBACKS_PATH}/{Gateway.JSON}/<token>", view_func=_json, methods=["POST"])


def _twilio(token: str) -> Response:
    message = _message_of(token, Gateway.TWILIO)
    settings, form = _services().settings, request.form
    url = f"{settings.url}{request.path}"
    offered = request.headers.get(twilio.SIGNATURE, "")
    if not twilio.is_signed(url, form.items(multi=True), offered, settings.twilio_auth_token or ()):
        REFUSED.labels(Gateway.TWILIO, "wrong_signature").inc()
        raise WrongSignatureError
    code = form.get(twilio.ERROR_CODE)
    _store(
        Gateway.TWILIO,
        message,
        twilio.verdict_of(form.get(twilio.STATUS, ""), code),
        provider_message_id=form.get(twilio.MESSAGE_ID),
        status_code=code,
    )
    return Response(status=204)


def _kannel(token: str) -> Response:
    # Werkzeug routes HEAD like GET. A scanner or a preview that only looks at a URL must not report.
    if request.method == "HEAD":
        raise MethodNotAllowed(["GET"])
    message = _message_of(token, Gateway.KANNEL)
    answer = request.args.get("answer", "")
    _store(
        Gateway.KANNEL,
        message,
        kannel.verdict_of(request.args.get("type", 0, int), answer),
        provider_message_id=request.args.get("id"),
        status_code=kannel.code_of(answer),
        diagnostic=kannel.diagnostic_of(answer),
    )
    # Kannel takes only 200 and 202 for success (gw/smsbox.c).
    return Response(status=200)


def _json(token: str) -> Response:
    message = _message_of(token, Gateway.JSON)
    receipt = read_body(generic_json.ReceiptSchema())
    _store(
        Gateway.JSON,
        message,
        generic_json.verdict_of(receipt),
        status_code=receipt["code"],
        diagnostic=receipt["detail"],
        occurred_at=generic_json.occurred_at(receipt),
    )
    return Response(status=204)


def _message_of(token: str, gateway: Gateway) -> BouncedMessage:
    """Return the message that the address names. Raises NotFound for a wrong MAC, as for any other address."""
    message = reported_message(token, gateway, _services().settings.feedback_keys)
    if message is None:
        REFUSED.labels(gateway, "wrong_mac").inc()
        raise NotFound
    return message


def _store(
    gateway: Gateway,
    message: BouncedMessage,
    verdict: Verdict | None,
    *,
    provider_message_id: str | None = None,
    status_code: str | None = None,
    diagnostic: str | None = None,
    **more: Any,
) -> None:
    """Commit the report, unless it is no news. Raises a database error, which becomes a 503."""
    if verdict is None:
        RECEIPTS.labels(gateway, "no_news").inc()
        return
    report = DeliveryReport(
        kind=verdict.kind,
        source=ReportSource(gateway),
        message_id=message.message_id,
        recipient_tag=message.recipient_tag,
        provider_message_id=_storable(provider_message_id, LONGEST_ID),
        cause=verdict.cause,
        is_permanent=verdict.is_permanent,
        status_code=_storable(status_code, LONGEST_CODE),
        diagnostic=diagnostic_of(diagnostic or ""),
        **more,
    )
    with _services().engine.begin() as connection:
        is_new = connection.exec_driver_sql(STORE_REPORT, report.parameters()).rowcount > 0
    RECEIPTS.labels(gateway, verdict.kind).inc()
    if not is_new:
        REPEATED.labels(gateway).inc()


def _storable(text: str | None, longest: int) -> str | None:
    """Return the text without what PostgreSQL rejects, such as NUL, and not too long."""
    return "".join(character for character in text or "" if character.isprintable())[:longest] or None


def _services() -> Services:
    found: Services = current_app.extensions[EXTENSION]
    return found
