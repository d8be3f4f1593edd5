"""Create the WSGI application from the settings."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from flask import Flask
from jinja2 import StrictUndefined
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.middleware.proxy_fix import ProxyFix

from operator_console.actions.bulk import excluded_reasons
from operator_console.filters import MessageFilter
from operator_console.queries.causes import list_bounce_causes, list_causes
from operator_console.queries.stats import stats
from operator_console.settings import WebSettings
from operator_console.web import api, labels
from operator_console.web.access import csrf_token, enforce_access, origin_of
from operator_console.web.bulk_worker import BulkWorker
from operator_console.web.cache import CountPermits, SingleFlightCache
from operator_console.web.metrics import OBSERVER
from operator_console.web.pages import NOTICE_COOKIE_IS_SECURE
from operator_console.web.problems import handle_problems
from operator_console.web.routes import (
    audit,
    bulk,
    messages,
    organizations,
    overview,
    relays,
    sign_in,
    suppressions,
    tokens,
)
from operator_console.web.services import EXTENSION, Services
from operator_console.web.sessions import SessionPolicy, WrongTokenLimit
from shared.db.engine import create_database_engine
from shared.web.app import WebApp
from shared.web.requests import MOST_BYTES_READ

T = TypeVar("T")

ROUTES = (overview, messages, bulk, relays, organizations, suppressions, audit, tokens, sign_in, api)


class Console(WebApp):
    """Flask with structured logs and a background thread."""

    def start_workers(self) -> None:
        """Start the thread that runs bulk actions."""
        self._services.bulk_worker.start()

    def close(self) -> None:
        """Stop it, and close the database connections."""
        self._services.bulk_worker.stop()
        self._services.engine.dispose()

    @property
    def _services(self) -> Services:
        found: Services = self.extensions[EXTENSION]
        return found


def create_app(settings: WebSettings) -> Console:
    """Return the application. It connects to the database later, so the worker process can be forked first."""
    app = Console("operator_console.web", static_folder="static")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES_READ
    app.config[NOTICE_COOKIE_IS_SECURE] = settings.is_https
    app.extensions[EXTENSION] = _services(settings)
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0)  # type: ignore[method-assign] # as Flask documents it
    OBSERVER.watch(app, is_https=settings.is_https)
    handle_problems(app)
    for routes in ROUTES:
        app.register_blueprint(routes.blueprint)
    enforce_access(app)
    configure_templates(app)
    return app


def configure_templates(app: Flask) -> None:
    """Add the labels and formats that the templates use."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters.update(
        duration=labels.format_duration,
        number=labels.format_number,
        size=labels.format_size,
        time=lambda moment: labels.format_time(moment, datetime.now(UTC).year),
        time_input=labels.format_time_input,
    )
    app.jinja_env.globals.update(
        channels=labels.CHANNELS,
        dead_reasons=labels.DEAD_REASONS,
        breakers=labels.BREAKERS,
        failures=labels.FAILURES,
        bounce_causes=labels.BOUNCE_CAUSES,
        suppression_reasons=labels.SUPPRESSION_REASONS,
        excluded_reasons=excluded_reasons(MessageFilter()),
        csrf_token=csrf_token,
    )


def _services(settings: WebSettings) -> Services:
    # One connection more than threads, for the bulk worker.
    engine = create_database_engine(
        settings.database_url, application_name="signpost-console", pool_size=settings.threads + 1
    )
    sessions = sessionmaker(engine, expire_on_commit=False)
    permits = CountPermits(settings.threads - 1)
    return Services(
        engine=engine,
        sessions=sessions,
        wrong_tokens=WrongTokenLimit(),
        bulk_worker=BulkWorker(sessions),
        count_permits=permits,
        causes=SingleFlightCache(_in_transaction(sessions, list_causes), permits),
        bounce_causes=SingleFlightCache(_in_transaction(sessions, list_bounce_causes), permits),
        stats=SingleFlightCache(_in_transaction(sessions, stats), permits),
        session_policy=SessionPolicy(
            idle=timedelta(minutes=settings.session_idle_minutes), lifetime=timedelta(hours=settings.session_hours)
        ),
        origin=origin_of(settings.url),
        is_https=settings.is_https,
        feedback_keys=settings.feedback_keys,
        organization_keys=settings.organization_keys,
    )


def _in_transaction(sessions: sessionmaker[Session], query: Callable[[Session], T]) -> Callable[[], T]:
    def run() -> T:
        with sessions.begin() as session:
            return query(session)

    return run
