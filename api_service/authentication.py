"""Who is asking: the access token of a request, and what a client gets that has signed in."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from flask import Response, g, request

from api_service.access_tokens import SignedIn
from api_service.describing import Mark, marked
from api_service.services import services
from api_service.use_cases.sessions import BegunSession, Opening, has_session
from shared.web.bearer import bearer_token
from shared.web.refusals import InvalidTokenError

View = Callable[..., Response]

LONGEST_USER_AGENT = 120


def signed_in() -> SignedIn:
    """Return whose access token the request carries. Raises TokenRequiredError or InvalidTokenError.

    The session is looked up each time, so that one that was ended is so at once.
    """
    holder = services().access_tokens.read(bearer_token(request.headers.get("Authorization", "")))
    with services().sessions.begin() as session:
        if not has_session(session, holder.session_id, holder.user_id):
            raise InvalidTokenError
    return holder


def for_users(view: View) -> View:
    """Have the route called for signed-in users only, with whoever asks before its other arguments.

    ``g.user_id`` is theirs: it is by that that their idempotency keys are told from others'.
    """

    @wraps(view)
    def asked_by_user(**arguments: Any) -> Response:
        holder = signed_in()
        g.user_id = holder.user_id
        return view(holder, **arguments)

    return marked(asked_by_user, Mark.FOR_USERS)


def opening() -> Opening:
    """Return on what terms the request may begin a session."""
    return Opening(services().session_terms, shortened(request.headers.get("User-Agent", "")))


def shortened(user_agent: str) -> str | None:
    """Return as much of a client's name for itself as its user needs to know it by."""
    printable = "".join(character for character in user_agent if character.isprintable())
    return printable[:LONGEST_USER_AGENT].strip() or None


def session_document(begun: BegunSession) -> dict[str, Any]:
    """Return the JSON by which a client goes on; the names are those of OAuth (RFC 6749 §5.1)."""
    access_tokens = services().access_tokens
    return {
        "access_token": access_tokens.issue(SignedIn(begun.user_id, begun.id), datetime.now(UTC)),
        "token_type": "Bearer",
        "expires_in": int(access_tokens.lifetime.total_seconds()),
        "refresh_token": begun.refresh_token,
    }
