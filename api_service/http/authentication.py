"""Authenticate requests by access token, and return tokens to clients that sign in."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from flask import Response, g, request

from api_service.http.annotations import Mark, add_mark
from api_service.security.access_tokens import CurrentUser
from api_service.services import services
from api_service.use_cases.sessions import SessionContext, StartedSession, has_session
from shared.web.bearer import bearer_token
from shared.web.problems import InvalidTokenError

View = Callable[..., Response]

LONGEST_USER_AGENT = 120


def authenticate() -> CurrentUser:
    """Return the user and session of the access token. Raises TokenRequiredError or InvalidTokenError.

    Each request checks the session in the database, so that ending a session takes effect at once.
    """
    current_user = services().access_tokens.read(bearer_token(request.headers.get("Authorization", "")))
    with services().sessions.begin() as session:
        if not has_session(session, current_user.session_id, current_user.user_id):
            raise InvalidTokenError
    return current_user


def authenticated(view: View) -> View:
    """Require a signed-in user, and pass them as the view's first argument.

    ``g.user_id`` separates the idempotency keys of users.
    """

    @wraps(view)
    def checked(**arguments: Any) -> Response:
        current_user = authenticate()
        g.user_id = current_user.user_id
        return view(current_user, **arguments)

    return add_mark(checked, Mark.AUTHENTICATED)


def session_context() -> SessionContext:
    """Return the session policy and the client's user agent, to start a session with."""
    return SessionContext(services().session_policy, shortened(request.headers.get("User-Agent", "")))


def shortened(user_agent: str) -> str | None:
    """Return the printable start of a User-Agent header, for the user's list of sessions."""
    printable = "".join(character for character in user_agent if character.isprintable())
    return printable[:LONGEST_USER_AGENT].strip() or None


def session_document(started: StartedSession) -> dict[str, Any]:
    """Return the JSON with a session's tokens; the names are those of OAuth (RFC 6749 §5.1)."""
    access_tokens, profiles = services().access_tokens, services().profiles
    own_claims = profiles.claims_of(started.profile) if profiles else {}
    return {
        "access_token": access_tokens.issue(CurrentUser(started.user_id, started.id), datetime.now(UTC), own_claims),
        "token_type": "Bearer",
        "expires_in": int(access_tokens.lifetime.total_seconds()),
        "refresh_token": started.refresh_token,
    }
