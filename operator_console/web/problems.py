"""Every refusal and every failure, in this one place: application/problem+json (RFC 9457), or a page for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify
from werkzeug.exceptions import HTTPException

from operator_console.acting import ActingError
from operator_console.web.errors import (
    DATABASE_FAILURES,
    Code,
    FaultCode,
    InsufficientScopeError,
    NotSignedInError,
    Refusal,
    TooManyAttemptsError,
    ValidationFailedError,
)
from operator_console.web.pages import is_for_people, page, to_sign_in
from shared.database import describe
from shared.engine import is_database_away
from shared.log import get_logger

log = get_logger("console.problems")

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="signpost-console"'
RETRY_AFTER_SECONDS = 2
"""For a database that is away: a restart takes about that long."""


@dataclass(frozen=True)
class Kind:
    """What is said of a code whenever it occurs."""

    status: HTTPStatus
    title: str
    detail: str


KINDS: Mapping[Code, Kind] = {
    Code.BAD_REQUEST: Kind(HTTPStatus.BAD_REQUEST, "Bad request", "The request could not be understood."),
    Code.MALFORMED_JSON: Kind(
        HTTPStatus.BAD_REQUEST, "Malformed JSON", "The body is not JSON in UTF-8, or names something twice."
    ),
    Code.TOKEN_REQUIRED: Kind(
        HTTPStatus.UNAUTHORIZED, "Token required", "Send an operator's token: Authorization: Bearer and the token."
    ),
    Code.INVALID_TOKEN: Kind(
        HTTPStatus.UNAUTHORIZED, "Invalid token", "The token is not known, has expired or was revoked."
    ),
    Code.INSUFFICIENT_SCOPE: Kind(
        HTTPStatus.FORBIDDEN, "Insufficient scope", "The token may not do this; it lacks the scope that is named."
    ),
    Code.FORM_EXPIRED: Kind(
        HTTPStatus.FORBIDDEN, "Form expired", "The form is not of this session. Go back, load the page anew and repeat."
    ),
    Code.FOREIGN_ORIGIN: Kind(
        HTTPStatus.FORBIDDEN, "Foreign origin", "The form was sent from another site, or CONSOLE_URL is not this one."
    ),
    Code.NOT_FOUND: Kind(HTTPStatus.NOT_FOUND, "Not found", "There is nothing at this address."),
    Code.METHOD_NOT_ALLOWED: Kind(
        HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed", "The Allow header lists the methods of this address."
    ),
    Code.UNKNOWN_MESSAGE: Kind(HTTPStatus.NOT_FOUND, "Unknown message", "There is no message with that id."),
    Code.UNKNOWN_BULK: Kind(HTTPStatus.NOT_FOUND, "Unknown bulk act", "There is no bulk act with that id."),
    Code.UNKNOWN_ORGANIZATION: Kind(
        HTTPStatus.NOT_FOUND, "Unknown organization", "There is no organization with that id."
    ),
    Code.ORGANIZATION_NOT_READY: Kind(
        HTTPStatus.CONFLICT,
        "Organization not ready",
        "Its database was never handed over: its message is what to requeue.",
    ),
    Code.NOT_DEAD: Kind(HTTPStatus.CONFLICT, "Not dead", "Only a dead message can be changed so; this one is not."),
    Code.NOT_DISCARDED: Kind(HTTPStatus.CONFLICT, "Not discarded", "There is no discard here to take back."),
    Code.SUPERSEDED: Kind(
        HTTPStatus.CONFLICT, "Superseded", "A newer message replaced this one: that is the one to requeue."
    ),
    Code.ERASED: Kind(HTTPStatus.CONFLICT, "Erased", "Its user was erased: there is nobody to tell."),
    Code.ADDRESS_NOT_THEIRS: Kind(
        HTTPStatus.CONFLICT, "Address not theirs", "It tells of a user, and that is no address of theirs."
    ),
    Code.WRONG_ADDRESS: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Wrong address", "The corrected recipient is no address of its channel."
    ),
    Code.NOTHING_CHOSEN: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Nothing chosen", "An empty filter means everything: say so with all."
    ),
    Code.BODY_TOO_LARGE: Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too large", "A body may have 16 KiB at the most."
    ),
    Code.URI_TOO_LONG: Kind(HTTPStatus.REQUEST_URI_TOO_LONG, "URI too long", "The request's address is too long."),
    Code.UNSUPPORTED_MEDIA_TYPE: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", "Send application/json in UTF-8."
    ),
    Code.VALIDATION_FAILED: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Validation failed", "Each fault is listed with where it is."
    ),
    Code.TOO_MANY_REQUESTS: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong tokens", "Retry-After says in how many seconds to try again."
    ),
    Code.HEADERS_TOO_LARGE: Kind(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large", "The request's headers are too long."
    ),
    Code.INTERNAL_ERROR: Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error", "The fault is ours; the request_id helps us to find it."
    ),
    Code.DATABASE_UNAVAILABLE: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "Database unavailable", "The database is away; try again shortly."
    ),
    Code.NOT_READY: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready", "What is missing is named."),
}

FAULTS: Mapping[FaultCode, str] = {
    FaultCode.REQUIRED: "This is required.",
    FaultCode.UNKNOWN_FIELD: "There is no such field.",
    FaultCode.INVALID_TYPE: "This is not of the right type.",
    FaultCode.INVALID_CHOICE: "This is not one of the words that are possible here.",
    FaultCode.INVALID_TIME: "This is not a time with its offset, such as 2026-11-21T03:00:00Z.",
    FaultCode.INVALID_CURSOR: "This is not a cursor of ours.",
    FaultCode.OUT_OF_RANGE: "This is too small or too large.",
    FaultCode.TOO_LONG: "This is too long.",
    FaultCode.ONLY_THE_DEAD: "Only dead messages can be requeued.",
}

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
    app.register_error_handler(ActingError, _not_acted)
    app.register_error_handler(HTTPException, _from_werkzeug)
    for failure in DATABASE_FAILURES:
        app.register_error_handler(failure, _database_unavailable)


def problem(code: Code, **members: Any) -> Response:
    """Return the answer for a code: JSON with members of its own beside the usual ones, or a page that says it."""
    document = problem_document(code, g.request_id, **members)
    if is_for_people():
        return page("problem.html", KINDS[code].status, problem=document)
    answer = jsonify(document)
    answer.status_code = KINDS[code].status
    answer.mimetype = MEDIA_TYPE
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = CHALLENGE + _error_of(code)
    return answer


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


def _error_of(code: Code) -> str:
    """Name the error beside the challenge: only a token that was sent can be called wrong (RFC 6750 §3.1)."""
    return ', error="invalid_token"' if code is Code.INVALID_TOKEN else ""


def _refused(refusal: Refusal) -> Response:
    match refusal:
        case NotSignedInError():
            return to_sign_in()
        case ValidationFailedError(faults=faults):
            errors = [{"pointer": fault.pointer, "code": fault.code, "message": FAULTS[fault.code]} for fault in faults]
            return problem(refusal.code, errors=errors)
        case InsufficientScopeError(scope=scope):
            answer = problem(refusal.code, scope=scope)
            # RFC 6750 §3.1 has the challenge in this answer, too.
            answer.headers["WWW-Authenticate"] = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            return answer
        case TooManyAttemptsError(retry_after_seconds=seconds):
            return _later(problem(refusal.code), seconds)
        case _:
            return problem(refusal.code)


def _not_acted(error: ActingError) -> Response:
    return problem(Code(error.code))


def _database_unavailable(error: Exception) -> Response:
    """Answer that the database is away, and log in which way; raise again what means something else."""
    if not is_database_away(error):
        raise error
    log.warning("database unavailable", request_id=g.request_id, **describe(error))
    return _later(problem(Code.DATABASE_UNAVAILABLE), RETRY_AFTER_SECONDS)


def _later(answer: Response, seconds: int) -> Response:
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _from_werkzeug(error: HTTPException) -> Response:
    answer = problem(_code_of(error))
    own_headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    answer.headers.update(own_headers)
    return answer


def _code_of(error: HTTPException) -> Code:
    """Decide what to call an error of Werkzeug's; one without a name here is our fault from 500 on."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return _CODES_BY_STATUS.get(status, Code.INTERNAL_ERROR if is_ours else Code.BAD_REQUEST)
