"""Every refusal and every failure as application/problem+json (RFC 9457), in this one place."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify, url_for
from werkzeug.exceptions import HTTPException

from api_service.errors import (
    DATABASE_FAILURES,
    AccountNotActivatedError,
    Code,
    FaultCode,
    KeyInUseError,
    OrganizationNotReadyError,
    Refusal,
    ResendTooSoonError,
    ValidationFailedError,
)
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
    Code.INVALID_OR_EXPIRED: Kind(
        HTTPStatus.BAD_REQUEST, "Invalid or expired", "The code or link is wrong, was used already, or has expired."
    ),
    Code.TOKEN_REQUIRED: Kind(
        HTTPStatus.UNAUTHORIZED, "Token required", "Send an access token: Authorization: Bearer and the token."
    ),
    Code.INVALID_TOKEN: Kind(
        HTTPStatus.UNAUTHORIZED,
        "Invalid token",
        "The access token is not valid, has expired, or its session has ended.",
    ),
    Code.INVALID_CREDENTIALS: Kind(
        HTTPStatus.UNAUTHORIZED, "Invalid credentials", "The address and the password do not belong together."
    ),
    Code.INVALID_REFRESH_TOKEN: Kind(
        HTTPStatus.UNAUTHORIZED, "Invalid refresh token", "The session has ended, or this token was used already."
    ),
    Code.ACCOUNT_NOT_ACTIVATED: Kind(
        HTTPStatus.FORBIDDEN, "Account not activated", "The account waits for its code, which can be sent again."
    ),
    Code.WRONG_PASSWORD: Kind(HTTPStatus.FORBIDDEN, "Wrong password", "The password is not the account's."),
    Code.FRESH_SIGN_IN_REQUIRED: Kind(
        HTTPStatus.FORBIDDEN, "Fresh sign-in required", "Give the password, or sign in again before asking for this."
    ),
    Code.NOT_FOUND: Kind(HTTPStatus.NOT_FOUND, "Not found", "There is nothing at this address."),
    Code.METHOD_NOT_ALLOWED: Kind(
        HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed", "The Allow header lists the methods of this address."
    ),
    Code.REQUEST_TIMEOUT: Kind(HTTPStatus.REQUEST_TIMEOUT, "Request timeout", "The request took too long to arrive."),
    Code.ALREADY_ACTIVE: Kind(HTTPStatus.CONFLICT, "Already active", "The registration has been activated."),
    Code.ADDRESS_TAKEN: Kind(HTTPStatus.CONFLICT, "Address taken", "Another account has this address."),
    Code.ORGANIZATION_FAILED: Kind(
        HTTPStatus.CONFLICT, "Organization failed", "The organization could not be set up. Please register again."
    ),
    Code.BODY_TOO_LARGE: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too large", "A body has at most 16 KiB."),
    Code.URI_TOO_LONG: Kind(HTTPStatus.REQUEST_URI_TOO_LONG, "URI too long", "The request's first line is too long."),
    Code.UNSUPPORTED_MEDIA_TYPE: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", "The body must be application/json."
    ),
    Code.VALIDATION_FAILED: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Validation failed", "The errors say what is wrong, and where."
    ),
    Code.IDEMPOTENCY_KEY_MALFORMED: Kind(
        HTTPStatus.BAD_REQUEST, "Idempotency-Key malformed", "The key is a string of 16 to 255 visible characters."
    ),
    Code.IDEMPOTENCY_KEY_IN_USE: Kind(
        HTTPStatus.CONFLICT, "Idempotency-Key in use", "The first request with this key has not been answered yet."
    ),
    Code.IDEMPOTENCY_KEY_REUSED: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Idempotency-Key reused", "Another request has had this key already."
    ),
    Code.TOO_MANY_REQUESTS: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", "Retry-After says in how many seconds to ask again."
    ),
    Code.TOO_MANY_ATTEMPTS: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many attempts", "This code was tried too often and works no longer."
    ),
    Code.RESEND_TOO_SOON: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Resend too soon", "Retry-After says in how many seconds to ask again."
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
    Code.ORGANIZATION_NOT_READY: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "Organization not ready", "The organization is being repaired; try again soon."
    ),
    Code.NOT_READY: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready", "What is missing is named."),
}

FAULTS: Mapping[FaultCode, str] = {
    FaultCode.REQUIRED: "This field is required.",
    FaultCode.UNKNOWN_FIELD: "There is no such field.",
    FaultCode.INVALID_TYPE: "This is not of the right JSON type.",
    FaultCode.INVALID_EMAIL: "This is not an e-mail address.",
    FaultCode.INVALID_PHONE: "This is not a phone number with its country code (+33…).",
    FaultCode.INVALID_ID: "This is not an id.",
    FaultCode.INVALID_CHOICE: "This is not one of the words that are possible here.",
    FaultCode.INVALID_COUNTRY: "This is not a country's code of two capital letters (ISO 3166-1 alpha-2).",
    FaultCode.TOO_SHORT: "This is too short.",
    FaultCode.TOO_LONG: "This is too long.",
    FaultCode.TOO_COMMON: "This password is among the first that anyone would try.",
    FaultCode.IS_THE_ADDRESS: "The password must not be the address.",
    FaultCode.CONTROL_CHARACTER: "This has a control character in it, or one that nobody sees.",
    FaultCode.ADDRESS_REQUIRED: "An e-mail address or a phone number is required.",
    FaultCode.ONE_ADDRESS_ONLY: "Give either an e-mail address or a phone number.",
    FaultCode.CHANNEL_WITHOUT_ADDRESS: "No address was given for this channel.",
    FaultCode.ONE_FORM_REQUIRED: "Give either token, or registration_id and code.",
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
