"""Putting the parts together: settings in, a WSGI application out."""

from datetime import UTC, datetime

from flask import Flask
from sqlalchemy.orm import sessionmaker
from werkzeug.middleware.proxy_fix import ProxyFix

from operator_console.acting import closed_to
from operator_console.filters import MessageFilter
from operator_console.web.access import csrf_token, guard, origin_of
from operator_console.web.attempts import Attempts
from operator_console.web.carrier import Carrier
from operator_console.web.kept import Kept
from operator_console.web.notes import IS_SECURE
from operator_console.web.observing import OBSERVER
from operator_console.web.problems import handle_problems
from operator_console.web.routes import (
    audit,
    bulk,
    messages,
    operations,
    organizations,
    overview,
    relays,
    signing_in,
    tokens,
    v1_bulk,
    v1_messages,
    v1_organizations,
    v1_stats,
)
from operator_console.web.services import EXTENSION, Services
from operator_console.web.sessions import SessionTerms
from operator_console.web.settings import WebSettings
from operator_console.web.words import BREAKERS, CHANNELS, DEAD_REASONS, dated, grouped, spoken, typed_moment
from shared.engine import create_database_engine
from shared.web.app import WebApp
from shared.web.bodies import MOST_BYTES_READ

ROUTES = (
    overview,
    messages,
    bulk,
    relays,
    organizations,
    audit,
    tokens,
    signing_in,
    v1_messages,
    v1_bulk,
    v1_organizations,
    v1_stats,
    operations,
)


class Console(WebApp):
    """Flask, except that it logs as we do, and has work of its own beside answering."""

    def begin_work(self) -> None:
        """Begin what goes on beside answering: carrying bulk acts on."""
        self._services.carrier.start()

    def end_work(self) -> None:
        """End it, and let go of the database."""
        self._services.carrier.end()
        self._services.engine.dispose()

    @property
    def _services(self) -> Services:
        found: Services = self.extensions[EXTENSION]
        return found


def create_app(settings: WebSettings) -> Console:
    """Return the application. Nothing is connected yet, so that the worker can be forked off."""
    app = Console("operator_console.web", static_folder="static")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES_READ
    app.config[IS_SECURE] = settings.is_https
    app.extensions[EXTENSION] = _services(settings)
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0)  # type: ignore[method-assign] # as Flask documents it
    OBSERVER.watch(app, is_https=settings.is_https)
    handle_problems(app)
    for routes in ROUTES:
        app.register_blueprint(routes.blueprint)
    guard(app)
    speak(app)
    return app


def speak(app: Flask) -> None:
    """Give the templates their words."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(dated=_dated, grouped=grouped, spoken=spoken, typed_moment=typed_moment)
    app.jinja_env.globals.update(
        channels=CHANNELS,
        dead_reasons=DEAD_REASONS,
        breakers=BREAKERS,
        closed=closed_to(MessageFilter()),
        csrf_token=csrf_token,
    )


def _dated(moment: datetime) -> str:
    return dated(moment, datetime.now(UTC).year)


def _services(settings: WebSettings) -> Services:
    # One more than threads that answer: the carrier's own.
    engine = create_database_engine(
        settings.database_url, application_name="signpost-console", pool_size=settings.threads + 1
    )
    sessions = sessionmaker(engine, expire_on_commit=False)
    return Services(
        engine=engine,
        sessions=sessions,
        attempts=Attempts(),
        carrier=Carrier(sessions),
        causes=Kept(),
        stats=Kept(),
        terms=SessionTerms(idle=settings.idle, lifetime=settings.lifetime),
        origin=origin_of(settings.url),
        is_https=settings.is_https,
    )
