"""Who asks, and whether they may: of each route it is said which scope it needs, and no other route is served.

Scripts show their token with each request. People show it once, and go on with a cookie; so what they send also
has to come from a page of ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request

from operator_console.acting import Act
from operator_console.operator_tokens import Scope, TokenView, authenticate
from operator_console.web.errors import ForeignOriginError, FormExpiredError, InsufficientScopeError, NotSignedInError
from operator_console.web.metrics import WRONG_TOKENS
from operator_console.web.pages import is_for_people, is_renewal
from operator_console.web.services import services
from operator_console.web.sessions import csrf_token_of, is_csrf_token, note_use, token_of
from shared.web.bearer import bearer_token
from shared.web.refusals import InvalidTokenError

View = TypeVar("View", bound=Callable[..., Any])

STATIC = "static"
FOR_ANYBODY = "anybody"
FOR_SIGNED_IN = "whoever is signed in"
OF_OURS = ("same-origin", "none")
"""What a browser says of a request that a page of ours, or the person itself, made (Fetch Metadata, Sec-Fetch-Site)."""
_NEEDED = "needed_scope"


@dataclass(frozen=True)
class Asker:
    """Whose token the request was made with, and what it is good for."""

    name: str
    scopes: frozenset[Scope]
    cookie: str | None = field(default=None, repr=False)

    def may(self, scope: str) -> bool:
        """Tell whether the token has that scope."""
        return scope in self.scopes

    def act(self, reason: str) -> Act:
        """Return who acts, for the record."""
        return Act(operator=self.name, reason=reason)


def needs(scope: Scope) -> Callable[[View], View]:
    """Have the route served to those only whose token has the scope."""
    return lambda view: _marked(view, scope)


def for_anybody(view: View) -> View:
    """Have the route served without asking who is there."""
    return _marked(view, FOR_ANYBODY)


def for_signed_in(view: View) -> View:
    """Have the route served to whoever has a session, whatever the token allows."""
    return _marked(view, FOR_SIGNED_IN)


def guard(app: Flask) -> None:
    """Have each request admitted or refused before its route. Raises RuntimeError for a route that says nothing."""
    unsaid = [name for name, view in app.view_functions.items() if name != STATIC and not hasattr(view, _NEEDED)]
    if unsaid:
        raise RuntimeError(f"these routes do not say who may ask: {', '.join(unsaid)}")
    app.before_request(_admit)


def asker() -> Asker:
    """Return who asks; only for routes that need a scope."""
    found: Asker = g.asker
    return found


def csrf_token() -> str:
    """Return what the forms of this session carry."""
    return csrf_token_of(asker().cookie or "")


def asker_by_token(token: str) -> TokenView:
    """Return the token that somebody shows. Raises InvalidTokenError, or TooManyAttemptsError."""
    client = request.remote_addr or ""
    services().attempts.refuse_if_too_many(client)
    with services().sessions.begin() as session:
        holder = authenticate(session, token)
    if holder is None:
        services().attempts.count(client)
        WRONG_TOKENS.inc()
        raise InvalidTokenError
    return holder


def _marked(view: View, needed: str) -> View:
    setattr(view, _NEEDED, needed)
    return view


def _admit() -> None:
    if request.endpoint in (None, STATIC):
        return
    if request.method == "POST" and is_for_people():
        _refuse_foreign()
    needed = getattr(current_app.view_functions[request.endpoint], _NEEDED)
    if needed == FOR_ANYBODY:
        return
    g.asker = _asker_by_cookie() if is_for_people() else _asker_by_header()
    if needed != FOR_SIGNED_IN and not g.asker.may(needed):
        raise InsufficientScopeError(needed)
    if request.method == "POST" and is_for_people():
        _refuse_forged(g.asker)


def _asker_by_header() -> Asker:
    holder = asker_by_token(bearer_token(request.headers.get("Authorization", "")))
    return Asker(holder.name, frozenset(holder.scopes))


def _asker_by_cookie() -> Asker:
    cookie = request.cookies.get(services().cookie_name, "")
    with services().sessions.begin() as session:
        holder = token_of(session, cookie, services().terms) if cookie else None
        if holder is not None and not is_renewal():
            note_use(session, cookie)
    if holder is None:
        raise NotSignedInError(request.form.to_dict())
    return Asker(holder.name, frozenset(map(Scope, holder.scopes)), cookie)


def _refuse_foreign() -> None:
    """Refuse what a browser says comes from another site; a form for signing in has no other protection."""
    if not _is_from_our_site():
        raise ForeignOriginError


def _is_from_our_site() -> bool:
    """Tell whether the browser says so, by Sec-Fetch-Site or, where it is too old for that, by the Origin.

    Where the former is told, the latter is no help: from pages that send no referrer it is ``null``.
    """
    if site := request.headers.get("Sec-Fetch-Site"):
        return site in OF_OURS
    our_origin = services().origin or f"{request.scheme}://{request.host}"
    return request.headers.get("Origin", "null") in ("null", our_origin)


def _refuse_forged(asker: Asker) -> None:
    if not is_csrf_token(request.form.get("csrf", ""), asker.cookie or ""):
        raise FormExpiredError


def origin_of(url: str | None) -> str | None:
    """Return the origin that a browser names for pages at the URL (RFC 6454 §6.1)."""
    parts = urlsplit(url) if url else None
    return f"{parts.scheme}://{parts.netloc}".lower() if parts else None
