"""Map domain errors to application/problem+json responses (RFC 9457)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from flask import Flask, Response, g, url_for

from api_service.errors import AccountNotActivatedError, Code, NotYetError, OverloadedError, ViolationCode
from api_service.http.rate_limiting import limit_headers
from api_service.metrics import OVERLOADED
from api_service.rate_limits import TooManyRequestsError
from shared.web.problem_responses import handle_failures, json_response, violation_documents
from shared.web.problems import (
    COMMON_PROBLEM_TYPES,
    NO_SUCH_FIELD,
    CommonCode,
    ProblemError,
    ProblemType,
    ValidationFailedError,
    Violation,
    problem_document,
)

REALM = "signpost"
MAX_VIOLATIONS = 50
"""In one response. No schema of a body has as many fields."""
PROBLEM_TYPES: Mapping[StrEnum, ProblemType] = {
    **COMMON_PROBLEM_TYPES,
    Code.INVALID_OR_EXPIRED: ProblemType(400, "The code or link is wrong, was used already, or has expired."),
    CommonCode.TOKEN_REQUIRED: ProblemType(401, "Send an access token: Authorization: Bearer and the token."),
    CommonCode.INVALID_TOKEN: ProblemType(401, "The access token is not valid, has expired, or its session has ended."),
    Code.INVALID_CREDENTIALS: ProblemType(401, "The address and the password do not belong together."),
    Code.INVALID_REFRESH_TOKEN: ProblemType(401, "The session has ended, or this token was used already."),
    Code.ACCOUNT_NOT_ACTIVATED: ProblemType(403, "The account is not activated yet. Its code can be resent."),
    Code.WRONG_PASSWORD: ProblemType(403, "The password is not the account's."),
    Code.PASSWORD_REQUIRED: ProblemType(
        403, "The link alone does not suffice: send the registration's password with the link's token."
    ),
    Code.FRESH_SIGN_IN_REQUIRED: ProblemType(403, "Send the password, or sign in again first."),
    Code.NOT_A_MEMBER: ProblemType(403, "The user does not belong to this organization."),
    Code.ROLE_REQUIRED: ProblemType(403, "The user's role in this organization does not permit this."),
    Code.NOT_INVITED: ProblemType(403, "The invitation is for an address that the user has not proven."),
    Code.NO_ORGANIZATIONS: ProblemType(404, "This service has no organizations: ORGANIZATIONS is off."),
    Code.LAST_OWNER: ProblemType(409, "An organization needs an owner. Make another member an owner first."),
    Code.ALREADY_ACTIVE: ProblemType(409, "The registration has been activated."),
    Code.ADDRESS_TAKEN: ProblemType(409, "Another account has this address."),
    Code.ORGANIZATION_FAILED: ProblemType(409, "The organization could not be set up. Please register it again."),
    CommonCode.BODY_TOO_LARGE: ProblemType(413, "A body has at most 16 KiB."),
    CommonCode.URI_TOO_LONG: ProblemType(414, "The request's first line is too long."),
    CommonCode.UNSUPPORTED_MEDIA_TYPE: ProblemType(415, "The body must be plain application/json."),
    CommonCode.VALIDATION_FAILED: ProblemType(422, "The member errors lists each violation and its location."),
    Code.IDEMPOTENCY_KEY_MALFORMED: ProblemType(400, "The key is a string of 16 to 255 visible characters."),
    Code.IDEMPOTENCY_KEY_IN_USE: ProblemType(409, "The first request with this key is still in progress."),
    Code.IDEMPOTENCY_KEY_REUSED: ProblemType(422, "A different request has used this key."),
    Code.TOO_MANY_REQUESTS: ProblemType(429, "Retry after the number of seconds in Retry-After."),
    Code.TOO_MANY_ATTEMPTS: ProblemType(429, "This code was tried too often and no longer works."),
    Code.RESEND_TOO_SOON: ProblemType(429, "Retry after the number of seconds in Retry-After."),
    Code.OVERLOADED: ProblemType(503, "The service is busy. Retry after the number of seconds in Retry-After."),
    Code.ORGANIZATION_NOT_READY: ProblemType(503, "The organization is being repaired; try again soon."),
}
VIOLATION_MESSAGES: Mapping[str, str] = {
    ViolationCode.REQUIRED: "This field is required.",
    ViolationCode.UNKNOWN_FIELD: "There is no such field.",
    ViolationCode.INVALID_TYPE: "This has the wrong JSON type.",
    ViolationCode.INVALID_EMAIL: "This is not an e-mail address.",
    ViolationCode.INVALID_PHONE: "This is not a phone number. Its country code (+33…) may be missing or wrong.",
    ViolationCode.MISSING_COUNTRY_CODE: "The phone number needs its country code (+33…).",
    ViolationCode.INVALID_ID: "This is not an id.",
    ViolationCode.INVALID_CHOICE: "This is not one of the allowed values.",
    ViolationCode.INVALID_COUNTRY: "This is not an ISO 3166-1 alpha-2 country code.",
    ViolationCode.TOO_SHORT: "This is too short.",
    ViolationCode.TOO_LONG: "This is too long.",
    ViolationCode.TOO_COMMON: "This password is too common.",
    ViolationCode.IS_THE_ADDRESS: "The password must not be the address.",
    ViolationCode.CONTROL_CHARACTER: "This contains a control character or an invisible one.",
    ViolationCode.ADDRESS_REQUIRED: "An e-mail address or a phone number is required.",
    ViolationCode.ONE_ADDRESS_ONLY: "Give either an e-mail address or a phone number.",
    ViolationCode.CHANNEL_WITHOUT_ADDRESS: "No address was given for this channel.",
    ViolationCode.ONE_FORM_REQUIRED: "Give the fields of exactly one form: with token, or with code.",
    ViolationCode.NO_ORGANIZATIONS: "This service has no organizations: ORGANIZATIONS is off.",
    ViolationCode.NO_PROFILES: "This service has no own fields: PROFILE_SCHEMA is not set.",
    ViolationCode.INVALID_FORMAT: "This has the wrong format.",
    ViolationCode.INVALID_VALUE: "This breaks a rule of the service's own fields.",
    ViolationCode.OUT_OF_RANGE: "This number is outside the allowed range.",
    ViolationCode.TOO_DEEP: "This contains too many objects or arrays inside each other.",
    ViolationCode.TOO_LARGE: "This is too large.",
    ViolationCode.SET_BY_OPERATORS: "Only operators set this field.",
}


def handle_problems(app: Flask) -> None:
    """Register the error handlers of the app."""
    app.register_error_handler(ProblemError, problem_response)
    handle_failures(app, problem)


def problem(code: StrEnum, **members: Any) -> Response:
    """Return the problem response for a code, with extra members."""
    return json_response(problem_document(PROBLEM_TYPES[code], code, g.request_id, **members), REALM)


def problem_response(error: ProblemError) -> Response:
    """Return the response to a domain error, and count rejections by overload."""
    if isinstance(error, OverloadedError):
        OVERLOADED.labels(error.pool).inc()
    response = problem(error.code, **_members(error))
    response.headers.update(_headers(error))
    return response


def _members(error: ProblemError) -> dict[str, Any]:
    match error:
        case ValidationFailedError(violations=violations):
            return {"errors": violation_documents(_first_violations(violations), VIOLATION_MESSAGES)}
        case AccountNotActivatedError(registration_id=registration_id):
            return {"resend": url_for("registrations.post_resend", registration_id=registration_id)}
        case TooManyRequestsError(reached=reached):
            return {"limits": sorted({tally.limit.value for tally in reached})}
        case _:
            return {}


def _first_violations(violations: list[Violation]) -> list[Violation]:
    """Return violations of known fields in schema order, then unknown fields by name.

    A body can contain thousands of unknown fields in any order, and each entry of the response is ten times as long as
    the field in the request.
    """

    def rank(violation: Violation) -> tuple[bool, str]:
        is_unknown = violation.code == NO_SUCH_FIELD
        return is_unknown, violation.pointer if is_unknown else ""

    return sorted(violations, key=rank)[:MAX_VIOLATIONS]


def _headers(error: ProblemError) -> dict[str, str]:
    match error:
        case TooManyRequestsError(tallies=tallies, retry_after_seconds=seconds):
            return limit_headers(tallies) | {"Retry-After": str(seconds)}
        case NotYetError(retry_after_seconds=seconds):
            return {"Retry-After": str(seconds)}
        case _:
            return {}
