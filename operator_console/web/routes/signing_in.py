"""/sign-in and /sign-out: from a token to a session of the page, and back."""

from http import HTTPStatus

from flask import Blueprint, Response, request, url_for

from operator_console.web.access import asker, asker_by_token, for_anybody, for_signed_in
from operator_console.web.errors import TooManyAttemptsError
from operator_console.web.pages import page, safe_next, see_other
from operator_console.web.services import services
from operator_console.web.sessions import begin_session, end_session
from shared.web.refusals import InvalidTokenError

blueprint = Blueprint("signing_in", __name__)

WRONG = "That token is not known, has expired or was revoked."
TOO_MANY = "Too many wrong tokens. Try again in {} seconds."


@blueprint.get("/sign-in")
@for_anybody
def get_sign_in() -> Response:
    """Ask for a token."""
    return page("sign_in.html", wanted=safe_next(request.args.get("next", "/")), wrong=None)


@blueprint.post("/sign-in")
@for_anybody
def post_sign_in() -> Response:
    """Begin a session, if the token is right, and go on to where somebody wanted to go."""
    wanted = safe_next(request.form.get("next", "/"))
    try:
        holder = asker_by_token(request.form.get("token", "").strip())
    except InvalidTokenError:
        return page("sign_in.html", HTTPStatus.UNAUTHORIZED, wanted=wanted, wrong=WRONG)
    except TooManyAttemptsError as refusal:
        told = TOO_MANY.format(refusal.retry_after_seconds)
        answer = page("sign_in.html", HTTPStatus.TOO_MANY_REQUESTS, wanted=wanted, wrong=told)
        answer.headers["Retry-After"] = str(refusal.retry_after_seconds)
        return answer
    with services().sessions.begin() as session:
        cookie = begin_session(session, holder.id, services().terms)
    answer = see_other(wanted)
    answer.set_cookie(
        services().cookie_name, cookie, path="/", httponly=True, samesite="Strict", secure=services().is_https
    )
    return answer


@blueprint.post("/sign-out")
@for_signed_in
def post_sign_out() -> Response:
    """End the session at once, here and in the browser."""
    with services().sessions.begin() as session:
        end_session(session, asker().cookie or "")
    answer = see_other(url_for(".get_sign_in"), did="signed-out")
    answer.delete_cookie(services().cookie_name, path="/", httponly=True, samesite="Strict", secure=services().is_https)
    return answer
