"""Putting the parts together: settings in, a WSGI application out."""

from datetime import timedelta

from flask import Flask
from sqlalchemy.orm import sessionmaker

from api_service.access_tokens import AccessTokens
from api_service.limiting import know_clients, tell_limits
from api_service.notifier import Notifier
from api_service.observing import observe
from api_service.origins import allow_origins
from api_service.problems import handle_problems
from api_service.rate_limits import Limiter
from api_service.routes import (
    account,
    activation_page,
    activations,
    documentation,
    me,
    operations,
    password_resets,
    registrations,
    sessions,
)
from api_service.services import EXTENSION, Services
from api_service.settings import ApiSettings
from api_service.settled import Bells, SettledListener
from api_service.traced_transactions import trace_transactions
from api_service.use_cases.sessions import SessionTerms
from api_service.use_cases.tokens import Terms
from api_service.waiting import WaitingRoom
from shared.engine import create_database_engine
from shared.web.app import WebApp
from shared.web.bodies import MOST_BYTES_READ

ROUTES = (
    registrations,
    activations,
    activation_page,
    sessions,
    me,
    account,
    password_resets,
    documentation,
    operations,
)


class Api(WebApp):
    """The app of one process."""

    def end_work(self) -> None:
        """End what goes on beside the requests, and let go of the database."""
        parts: Services = self.extensions[EXTENSION]
        parts.close()


def create_app(settings: ApiSettings) -> Api:
    """Return the application. Nothing is connected yet, so that workers can be forked off."""
    app = Api("api_service", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES_READ
    app.extensions[EXTENSION] = _services(settings)
    observe(app, is_https=settings.public_url.startswith("https:"))
    know_clients(app, settings.trusted_proxies)
    tell_limits(app)
    allow_origins(app, settings.cors_origins)
    handle_problems(app)
    add_routes(app)
    return app


def add_routes(app: Flask) -> None:
    """Have the app serve all that there is."""
    for routes in ROUTES:
        app.register_blueprint(routes.blueprint)


def _services(settings: ApiSettings) -> Services:
    engine = create_database_engine(
        settings.database_url, application_name="signpost-api", pool_size=settings.threads, plans_once=True
    )
    trace_transactions(engine)
    bells = Bells()
    return Services(
        engine=engine,
        sessions=sessionmaker(engine, expire_on_commit=False),
        keys=settings.secret_keys,
        limiter=Limiter(engine, settings.limits, settings.secret_keys[settings.secret_keys.newest_id]),
        terms=Terms(
            lifetimes=settings.lifetimes,
            attempts=settings.activation_attempts,
            resend_cooldown=settings.resend_cooldown,
            key_id=settings.secret_keys.newest_id,
            fallback_after=settings.fallback_after,
            fallbacks=settings.fallbacks,
        ),
        account_terms=Terms(
            lifetimes=settings.account_code_lifetimes,
            attempts=settings.activation_attempts,
            resend_cooldown=settings.resend_cooldown,
            key_id=settings.secret_keys.newest_id,
        ),
        session_terms=SessionTerms(
            idle=timedelta(days=settings.session_idle_days), lifetime=timedelta(days=settings.session_lifetime_days)
        ),
        access_tokens=AccessTokens(settings.secret_keys, settings.public_url, settings.access_token_lifetime),
        notifier=Notifier(settings.database_url),
        waiting_room=WaitingRoom(settings.threads, bells),
        settled=SettledListener(settings.listen_database_url or settings.database_url, bells),
    )
