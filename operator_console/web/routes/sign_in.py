"""/sign-in and /sign-out: start a session with a token, and end it."""

from http import HTTPStatus

from flask import Blueprint, Response, request, url_for

from operator_console.web.access import any_session, authenticate_client, current_operator, public
from operator_console.web.errors import TooManyWrongTokensError
from operator_console.web.pages import page, redirect_to, safe_next
from operator_console.web.services import services
from operator_console.web.sessions import end_session, start_session
from shared.web.problem_responses import with_retry_after
from shared.web.problems import InvalidTokenError

blueprint = Blueprint("sign_in", __name__)

WRONG = "This token is unknown, has expired or was revoked."
TOO_MANY = "Too many wrong tokens. Try again in {} seconds."


@blueprint.get("/sign-in")
@public
def get_sign_in() -> Response:
    """Show the form."""
    return page("sign_in.html", next=safe_next(request.args.get("next", "/")), error=None)


@blueprint.post("/sign-in")
@public
def post_sign_in() -> Response:
    """Start a session if the token is valid, and redirect to the requested page."""
    wanted = safe_next(request.form.get("next", "/"))
    try:
        token = authenticate_client(request.form.get("token", "").strip())
    except InvalidTokenError:
        return page("sign_in.html", HTTPStatus.UNAUTHORIZED, next=wanted, error=WRONG)
    except TooManyWrongTokensError as error:
        text = TOO_MANY.format(error.retry_after_seconds)
        response = page("sign_in.html", HTTPStatus.TOO_MANY_REQUESTS, next=wanted, error=text)
        return with_retry_after(response, error.retry_after_seconds)
    with services().sessions.begin() as session:
        cookie = start_session(session, token.id, services().session_policy)
    response = redirect_to(wanted)
    response.set_cookie(
        services().cookie_name, cookie, path="/", httponly=True, samesite="Strict", secure=services().is_https
    )
    return response


@blueprint.post("/sign-out")
@any_session
def post_sign_out() -> Response:
    """End the session at once, and delete the cookie."""
    with services().sessions.begin() as session:
        end_session(session, current_operator().cookie or "")
    response = redirect_to(url_for(".get_sign_in"), notice="signed-out")
    response.delete_cookie(
        services().cookie_name, path="/", httponly=True, samesite="Strict", secure=services().is_https
    )
    return response
