"""Every refusal and every failure as application/problem+json (RFC 9457), in this one place."""

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify, url_for
from werkzeug.exceptions import HTTPException

from api_service.errors import (
    DATABASE_FAILURES,
    AccountNotActivatedError,
    Code,
    KeyInUseError,
    OrganizationNotReadyError,
    Refusal,
    ResendTooSoonError,
    ValidationFailedError,
)
from api_service.problem_words import FAULTS, KINDS
from api_service.rate_limits import TooManyRequestsError
from api_service.rate_limits.headers import limit_headers
from shared.database import describe
from shared.engine import is_database_away
from shared.log import get_logger

log = get_logger("api.problems")

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="signpost"'
RETRY_AFTER_SECONDS = 2
"""For a database that is away: a restart takes about that long."""
IN_USE_SECONDS = 1
"""For a key in use: a transaction takes far less."""

_CODES_BY_STATUS = {
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Code.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.BODY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG: Code.URI_TOO_LONG,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Code.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Code.HEADERS_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR: Code.INTERNAL_ERROR,
}


def handle_problems(app: Flask) -> None:
    """Have every error that leaves a route answered here."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _from_werkzeug)
    for failure in DATABASE_FAILURES:
        app.register_error_handler(failure, database_unavailable)


def problem(code: Code, **members: Any) -> Response:
    """Return the answer for a code, with members of its own beside the usual ones."""
    answer = jsonify(problem_document(code, g.request_id, **members))
    answer.status_code = KINDS[code].status
    answer.mimetype = MEDIA_TYPE
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = challenge_for(code)
    return answer


def challenge_for(code: Code) -> str:
    """Return what every 401 asks for; only a token that was sent can be called wrong (RFC 6750 §3.1)."""
    return CHALLENGE + (', error="invalid_token"' if code is Code.INVALID_TOKEN else "")


def problem_document(code: Code, request_id: str, **members: Any) -> dict[str, Any]:
    """Return the JSON of a problem."""
    kind = KINDS[code]
    return {
        "type": f"/problems/{code}",
        "title": kind.title,
        "status": kind.status.value,
        "detail": kind.detail,
        "code": code,
        "request_id": request_id,
    } | members


def database_unavailable(error: Exception) -> Response:
    """Answer that the database is away, and log in which way; raise again what means something else."""
    if not is_database_away(error):
        raise error
    log.warning("database unavailable", request_id=g.request_id, **describe(error))
    return _later(problem(Code.DATABASE_UNAVAILABLE), RETRY_AFTER_SECONDS)


def _refused(refusal: Refusal) -> Response:
    answer = problem(refusal.code, **_members(refusal))
    answer.headers.update(_headers(refusal))
    return answer


def _members(refusal: Refusal) -> dict[str, Any]:
    match refusal:
        case ValidationFailedError(faults=faults):
            errors = [{"pointer": fault.pointer, "code": fault.code, "message": FAULTS[fault.code]} for fault in faults]
            return {"errors": errors}
        case AccountNotActivatedError(registration_id=registration_id):
            return {"resend": url_for("registrations.post_resend", registration_id=registration_id)}
        case TooManyRequestsError(reached=reached):
            return {"limits": sorted({tally.limit.value for tally in reached})}
        case _:
            return {}


def _headers(refusal: Refusal) -> dict[str, str]:
    match refusal:
        case ResendTooSoonError(retry_after_seconds=seconds) | OrganizationNotReadyError(retry_after_seconds=seconds):
            return {"Retry-After": str(seconds)}
        case KeyInUseError():
            return {"Retry-After": str(IN_USE_SECONDS)}
        case TooManyRequestsError(tallies=tallies, retry_after_seconds=seconds):
            return limit_headers(tallies) | {"Retry-After": str(seconds)}
        case _:
            return {}


def _later(answer: Response, seconds: int) -> Response:
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _from_werkzeug(error: HTTPException) -> Response:
    answer = problem(code_of(error))
    own_headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    answer.headers.update(own_headers)
    return answer


def code_of(error: HTTPException) -> Code:
    """Decide what to call an error of Werkzeug's; one without a name here is our fault from 500 on."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return _CODES_BY_STATUS.get(status, Code.INTERNAL_ERROR if is_ours else Code.BAD_REQUEST)
