"""Create the WSGI application from the settings."""

from collections.abc import Sequence
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING

from flask import Flask
from sqlalchemy.orm import sessionmaker

from api_service.errors import OTHER, SIGN_IN
from api_service.http.cors import allow_origins
from api_service.http.problems import handle_problems
from api_service.http.rate_limiting import add_limit_headers, identify_clients
from api_service.metrics import observe
from api_service.outbox_signals.wait_for_settled import SettledWaiters
from api_service.outbox_signals.wake_relays import Notifier
from api_service.rate_limits import Limiter
from api_service.routes import (
    account,
    activation_page,
    activations,
    documentation,
    end_sessions_page,
    no_organizations,
    password_resets,
    registrations,
    sessions,
)
from api_service.security.access_tokens import AccessTokens
from api_service.security.hash_pool import HashPool
from api_service.services import EXTENSION, Services
from api_service.settings import ApiSettings, Founding, UnconfirmedAccess
from api_service.sign_in_watch import SignInWatch
from api_service.transactions import trace_transactions
from api_service.use_cases.sessions import SessionPolicy
from api_service.use_cases.tokens import TokenPolicy
from shared.db.engine import create_database_engine
from shared.host import cpu_count
from shared.vocabulary import Channel
from shared.web.app import WebApp
from shared.web.requests import MOST_BYTES_READ

if TYPE_CHECKING:
    from api_service.use_cases.organizations import Organizations

ROUTES = (
    *(registrations, activations, activation_page, sessions, end_sessions_page),
    *(account, password_resets, documentation),
)


class Api(WebApp):
    """The Flask application of one process."""

    def close(self) -> None:
        """Stop background threads and close database connections."""
        parts: Services = self.extensions[EXTENSION]
        parts.close()


def create_app(settings: ApiSettings) -> Api:
    """Return the application. It opens no connection, so that gunicorn can fork afterwards."""
    app = Api("api_service", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES_READ
    app.extensions[EXTENSION] = _services(settings)
    observe(app, is_https=settings.public_url.startswith("https:"))
    identify_clients(app, settings.trusted_proxies)
    add_limit_headers(app)
    allow_origins(app, settings.cors_origins)
    handle_problems(app)
    add_routes(app, has_organizations=settings.organizations is not Founding.OFF)
    return app


def add_routes(app: Flask, *, has_organizations: bool = True) -> None:
    """Register all blueprints. Without organizations, their routes only refuse requests."""
    for routes in (*ROUTES, *_routes_of_organizations(has_organizations=has_organizations)):
        app.register_blueprint(routes.blueprint)


def _routes_of_organizations(*, has_organizations: bool) -> Sequence[ModuleType]:
    if not has_organizations:
        return [no_organizations]
    from api_service.routes import invitation_page, invitations, members  # noqa: PLC0415 - an option

    return [members, invitations, invitation_page]


def _services(settings: ApiSettings) -> Services:
    engine = create_database_engine(
        settings.database_url, application_name="signpost-api", pool_size=settings.database_connections, plans_once=True
    )
    trace_transactions(engine)
    hash_threads = max(1, cpu_count() // settings.workers)
    return Services(
        engine=engine,
        sessions=sessionmaker(engine, expire_on_commit=False),
        keys=settings.secret_keys,
        limiter=Limiter(engine, settings.limits, settings.secret_keys[settings.secret_keys.newest_id]),
        policy=TokenPolicy(
            lifetimes=settings.lifetimes,
            attempts=settings.code_attempts,
            resend_cooldown=timedelta(seconds=settings.resend_cooldown_seconds),
            key_id=settings.secret_keys.newest_id,
            fallback_after=timedelta(seconds=settings.activation_fallback_seconds),
            fallbacks=settings.activation_fallback.channels,
        ),
        reset_policy=TokenPolicy(
            lifetimes=settings.reset_code_lifetimes,
            attempts=settings.code_attempts,
            resend_cooldown=timedelta(seconds=settings.resend_cooldown_seconds),
            key_id=settings.secret_keys.newest_id,
            fallback_after=timedelta(seconds=settings.activation_fallback_seconds),
            fallbacks=settings.activation_fallback.channels,
        ),
        change_policy=TokenPolicy(
            lifetimes=settings.account_code_lifetimes,
            attempts=settings.code_attempts,
            resend_cooldown=timedelta(seconds=settings.resend_cooldown_seconds),
            key_id=settings.secret_keys.newest_id,
        ),
        session_policy=SessionPolicy(
            idle=timedelta(days=settings.session_idle_days),
            lifetime=timedelta(days=settings.session_lifetime_days),
            admits_limited=settings.unconfirmed_access is UnconfirmedAccess.LIMITED,
        ),
        access_tokens=AccessTokens(
            settings.secret_keys, settings.public_url, timedelta(seconds=settings.access_token_lifetime_seconds)
        ),
        profiles=settings.profile_schema,
        notifier=Notifier(settings.database_url),
        settled_waiters=SettledWaiters(max(1, settings.threads // 8)),
        sign_in_hashes=HashPool(SIGN_IN, hash_threads, settings.threads * 3 // 8),
        sign_in_watch=SignInWatch(),
        other_hashes=HashPool(OTHER, hash_threads, settings.threads // 2),
        phone_region=settings.phone_default_region,
        organizations=_organizations(settings),
    )


def _organizations(settings: ApiSettings) -> "Organizations | None":
    if settings.organizations is Founding.OFF:
        return None
    from api_service.use_cases.organizations import Organizations  # noqa: PLC0415 - an option

    return Organizations(
        precede_activation=settings.organizations is Founding.BEFORE_ACTIVATION,
        invitation_policy=TokenPolicy(
            lifetimes={Channel.EMAIL: timedelta(seconds=settings.invitation_lifetime_seconds)},
            attempts=settings.code_attempts,
            resend_cooldown=timedelta(seconds=settings.resend_cooldown_seconds),
            key_id=settings.secret_keys.newest_id,
        ),
        keys=settings.secret_keys,
    )
