"""Authenticate requests by access token, and return tokens to clients that sign in."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

from flask import Response, g, request

from api_service.errors import AccountNotActivatedError
from api_service.http.annotations import Mark, add_mark
from api_service.http.client_ip import approximate_network
from api_service.http.devices import device_of
from api_service.security.access_tokens import CurrentUser
from api_service.services import services
from api_service.use_cases.security_events import Client
from api_service.use_cases.sessions import SessionContext, SessionKind, StartedSession, session_kind
from shared.web.problems import InvalidTokenError
from shared.web.requests import bearer_token

if TYPE_CHECKING:
    from api_service.use_cases.organizations import OrganizationView

View = Callable[..., Response]

LONGEST_USER_AGENT = 120


def authenticate(*, admits_limited: bool) -> CurrentUser:
    """Return the user and session of the access token. Raises TokenRequiredError or InvalidTokenError.

    Raises AccountNotActivatedError for a limited session, unless the route admits it. Each request checks the session
    in the database, so that ending a session takes effect at once.
    """
    current_user = services().access_tokens.read(bearer_token(request.headers.get("Authorization", "")))
    with services().sessions.begin() as session:
        kind = session_kind(session, current_user.session_id, current_user.user_id, services().session_policy)
    if kind is None:
        raise InvalidTokenError
    if kind is SessionKind.LIMITED and not admits_limited:
        raise AccountNotActivatedError(current_user.user_id)
    return current_user


def authenticated(view: View) -> View:
    """Require the full session of a user, and pass the user as the view's first argument."""
    return add_mark(_authenticated(view, admits_limited=False), Mark.ACTIVATED)


def authenticated_or_limited(view: View) -> View:
    """Require a session, which may be limited, and pass the user as the view's first argument.

    The user of a limited session is a registration that is not activated. The view must only read its own data.
    """
    return _authenticated(view, admits_limited=True)


def _authenticated(view: View, *, admits_limited: bool) -> View:
    # ``g.user_id`` separates the idempotency keys of users.
    @wraps(view)
    def checked(**arguments: Any) -> Response:
        current_user = authenticate(admits_limited=admits_limited)
        g.user_id = current_user.user_id
        return view(current_user, **arguments)

    return add_mark(checked, Mark.AUTHENTICATED)


def session_context() -> SessionContext:
    """Return the session policy, the client's user agent and the client, to start a session with."""
    user_agent = shortened(request.headers.get("User-Agent", ""))
    return SessionContext(services().session_policy, user_agent, current_client())


def current_client() -> Client:
    """Return the request's client as security notices show it."""
    device = device_of(request.headers.get("User-Agent", ""))
    return Client(device, approximate_network(g.client_address), services().keys)


def shortened(user_agent: str) -> str | None:
    """Return the printable start of a User-Agent header, for the user's list of sessions."""
    printable = "".join(character for character in user_agent if character.isprintable())
    return printable[:LONGEST_USER_AGENT].strip() or None


def session_document(started: StartedSession) -> dict[str, Any]:
    """Return the JSON with a session's tokens; the names are those of OAuth (RFC 6749 §5.1).

    The claims are named as in OpenID Connect Core §5.1. An access token ends with its limited session at the latest,
    because other services do not see the session.
    """
    access_tokens, profiles = services().access_tokens, services().profiles
    lifetime = access_tokens.lifetime if started.ends_in is None else min(access_tokens.lifetime, started.ends_in)
    own_claims = profiles.claims_of(started.profile) if profiles else {}
    verified = {"email_verified": started.is_email_verified, "phone_number_verified": started.is_phone_verified}
    organization = {"organization": claim_of(started.organization)} if started.organization else {}
    user = CurrentUser(started.user_id, started.id)
    return {
        "access_token": access_tokens.issue(
            user, datetime.now(UTC), lifetime=lifetime, claims={**own_claims, **verified, **organization}
        ),
        "token_type": "Bearer",
        "expires_in": int(lifetime.total_seconds()),
        "refresh_token": started.refresh_token,
    }


def claim_of(organization: "OrganizationView") -> dict[str, str]:
    """Return the claim of an organization. Its name stays out of tokens, because it is long and may change."""
    return {"id": str(organization.id), "role": organization.role, "status": organization.status}
