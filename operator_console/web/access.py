"""Authentication and authorization. Each route declares the scope it needs; a route without one stops the start.

Scripts send their token with each request. People send it once and then a session cookie; so their forms also have to
come from this site and carry the session's CSRF token.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from flask import Flask, current_app, g, request
from sqlalchemy.orm import Session

from operator_console.actions.audit import AuditContext
from operator_console.actions.tokens import Scope, TokenView, authenticate
from operator_console.web.errors import (
    ForeignOriginError,
    FormExpiredError,
    InsufficientScopeError,
    NotSignedInError,
)
from operator_console.web.metrics import WRONG_TOKENS
from operator_console.web.pages import is_auto_refresh, is_page_request
from operator_console.web.services import services
from operator_console.web.sessions import csrf_token_of, is_csrf_token, record_use, token_of
from shared.web.problems import InvalidTokenError
from shared.web.requests import bearer_token

View = TypeVar("View", bound=Callable[..., Any])
Result = TypeVar("Result")

STATIC = "static"
PUBLIC = "public"
ANY_SESSION = "any session"
OWN_SITES = ("same-origin", "none")
"""Values of Sec-Fetch-Site for requests that a page of this site, or the user directly, made (Fetch Metadata)."""
_REQUIRED = "required_scope"


@dataclass(frozen=True)
class CurrentOperator:
    """The holder of the request's token."""

    name: str
    scopes: frozenset[Scope]
    cookie: str | None = field(default=None, repr=False)

    def may(self, scope: str) -> bool:
        """Return whether the token has that scope."""
        return scope in self.scopes

    def audit(self, reason: str) -> AuditContext:
        """Return the context of an action for its audit row."""
        return AuditContext(operator=self.name, reason=reason)


def requires(scope: Scope) -> Callable[[View], View]:
    """Serve the route only to tokens with the scope."""
    return lambda view: _marked(view, scope)


def public(view: View) -> View:
    """Serve the route without authentication."""
    return _marked(view, PUBLIC)


def any_session(view: View) -> View:
    """Serve the route to all sessions, with any scopes."""
    return _marked(view, ANY_SESSION)


def enforce_access(app: Flask) -> None:
    """Check each request before its route. Raises RuntimeError for a route that declares no access."""
    undeclared = [name for name, view in app.view_functions.items() if name != STATIC and not hasattr(view, _REQUIRED)]
    if undeclared:
        raise RuntimeError(f"these routes declare no access: {', '.join(undeclared)}")
    app.before_request(_authorize)


def current_operator() -> CurrentOperator:
    """Return the operator of the request; only for routes that are not public."""
    found: CurrentOperator = g.operator
    return found


def act(action: Callable[[Session, UUID, AuditContext], Result], target_id: UUID, reason: str) -> Result:
    """Run the current operator's action on a message, organization, token or bulk action, in one transaction."""
    with services().sessions.begin() as session:
        return action(session, target_id, current_operator().audit(reason))


def csrf_token() -> str:
    """Return the CSRF token for the session's forms."""
    return csrf_token_of(current_operator().cookie or "")


def authenticate_client(secret: str) -> TokenView:
    """Return the client's token. Raises InvalidTokenError or TooManyWrongTokensError."""
    client = request.remote_addr or ""
    services().wrong_tokens.check(client)
    with services().sessions.begin() as session:
        token = authenticate(session, secret)
    if token is None:
        services().wrong_tokens.count(client)
        WRONG_TOKENS.inc()
        raise InvalidTokenError
    return token


def _marked(view: View, required: str) -> View:
    setattr(view, _REQUIRED, required)
    return view


def _authorize() -> None:
    if request.endpoint in (None, STATIC):
        return
    is_form = request.method == "POST" and is_page_request()
    if is_form and not _is_from_this_site():
        raise ForeignOriginError  # the only protection of the sign-in form
    required = getattr(current_app.view_functions[request.endpoint], _REQUIRED)
    if required == PUBLIC:
        return
    g.operator = _operator_by_cookie() if is_page_request() else _operator_by_header()
    if required != ANY_SESSION and not g.operator.may(required):
        raise InsufficientScopeError(required)
    if is_form and not is_csrf_token(request.form.get("csrf", ""), g.operator.cookie or ""):
        raise FormExpiredError


def _operator_by_header() -> CurrentOperator:
    token = authenticate_client(bearer_token(request.headers.get("Authorization", "")))
    return CurrentOperator(token.name, frozenset(token.scopes))


def _operator_by_cookie() -> CurrentOperator:
    cookie = request.cookies.get(services().cookie_name, "")
    with services().sessions.begin() as session:
        token = token_of(session, cookie, services().session_policy) if cookie else None
        if token is not None and not is_auto_refresh():
            record_use(session, cookie)
    if token is None:
        raise NotSignedInError(request.form.to_dict())
    return CurrentOperator(token.name, frozenset(map(Scope, token.scopes)), cookie)


def _is_from_this_site() -> bool:
    """Return whether the browser sent the form from this site, by Sec-Fetch-Site, or in older browsers by Origin.

    Origin does not help if Sec-Fetch-Site is there: it is ``null`` for pages that send no referrer.
    """
    if site := request.headers.get("Sec-Fetch-Site"):
        return site in OWN_SITES
    own_origin = services().origin or f"{request.scheme}://{request.host}"
    return request.headers.get("Origin", "null") in ("null", own_origin)


def origin_of(url: str | None) -> str | None:
    """Return the origin that a browser sends for pages at the URL (RFC 6454 §6.1)."""
    parts = urlsplit(url) if url else None
    return f"{parts.scheme}://{parts.netloc}".lower() if parts else None
