"""Errors as responses: application/problem+json (RFC 9457) for scripts, and pages for people."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request

from operator_console.errors import ActionError
from operator_console.web.errors import (
    BusyError,
    Code,
    InsufficientScopeError,
    NotSignedInError,
    TooManyWrongTokensError,
    ViolationCode,
)
from operator_console.web.pages import form_page, is_page_request, page, redirect_to_sign_in
from shared.web.problem_responses import (
    challenge,
    handle_failures,
    json_response,
    violation_documents,
    with_retry_after,
)
from shared.web.problems import (
    COMMON_PROBLEM_TYPES,
    CommonCode,
    ProblemError,
    ProblemType,
    ValidationFailedError,
    problem_document,
)

REALM = "signpost-console"

PROBLEM_TYPES: Mapping[StrEnum, ProblemType] = {
    **COMMON_PROBLEM_TYPES,
    CommonCode.TOKEN_REQUIRED: ProblemType(401, "Send an operator's token: Authorization: Bearer and the token."),
    CommonCode.INVALID_TOKEN: ProblemType(401, "The token is unknown, has expired or was revoked."),
    Code.INSUFFICIENT_SCOPE: ProblemType(403, "The token lacks the scope that is named."),
    Code.FORM_EXPIRED: ProblemType(403, "The form belongs to another session. Go back, reload the page and repeat."),
    Code.FOREIGN_ORIGIN: ProblemType(403, "The form was sent from another site, or CONSOLE_URL is not this address."),
    Code.UNKNOWN_MESSAGE: ProblemType(404, "There is no message with that id."),
    Code.UNKNOWN_BULK_ACTION: ProblemType(404, "There is no bulk action with that id."),
    Code.UNKNOWN_ORGANIZATION: ProblemType(404, "There is no organization with that id."),
    Code.UNKNOWN_TARGET: ProblemType(404, "There is no provider, channel or template of that name."),
    Code.NOT_PAUSED: ProblemType(409, "It is not paused: the pause has ended."),
    Code.PROVIDER_PAUSED: ProblemType(409, "The provider or its channel is paused. Resume it first."),
    Code.BREAKER_NOT_OPEN: ProblemType(409, "The provider has no open circuit breaker, so relays try it anyway."),
    Code.ORGANIZATION_NOT_READY: ProblemType(409, "The organization is not ready, so it has no database to use."),
    Code.NOT_DEAD: ProblemType(409, "Only a dead message can be changed in this way."),
    Code.NOT_SUPPRESSED: ProblemType(404, "The address is not suppressed."),
    Code.NO_ORGANIZATION_KEYS: ProblemType(409, "The console has no ORGANIZATION_KEYS, so it knows no passwords."),
    Code.NOT_RENEWABLE: ProblemType(
        409, "The database is not healthy, or it is being repaired, or its password is being renewed."
    ),
    Code.NO_FEEDBACK_KEYS: ProblemType(409, "The console has no FEEDBACK_KEYS, so it cannot look up addresses."),
    Code.NOT_DISCARDED: ProblemType(409, "The last action on the message was not a discard."),
    Code.SUPERSEDED: ProblemType(409, "A newer message replaced this one, or its registration has ended."),
    Code.ERASED: ProblemType(409, "The message's user was erased."),
    Code.ADDRESS_NOT_THEIRS: ProblemType(409, "The message is about a user, and that address is not the user's."),
    CommonCode.BODY_TOO_LARGE: ProblemType(413, "A body may have at most 16 KiB."),
    CommonCode.URI_TOO_LONG: ProblemType(414, "The request's address is too long."),
    CommonCode.UNSUPPORTED_MEDIA_TYPE: ProblemType(415, "Send plain application/json in UTF-8."),
    Code.WRONG_ADDRESS: ProblemType(
        422, "This is not a valid e-mail address or phone number for the message's channel."
    ),
    Code.FILTER_REQUIRED: ProblemType(422, "An empty filter selects all dead messages: confirm that with all."),
    CommonCode.VALIDATION_FAILED: ProblemType(422, "Each violation is listed with its place."),
    Code.TOO_MANY_WRONG_TOKENS: ProblemType(429, "Retry-After says in how many seconds to try again."),
    Code.BUSY: ProblemType(503, "The database is still counting for other requests; try again shortly."),
}
VIOLATIONS: Mapping[str, str] = {
    ViolationCode.REQUIRED: "This is required.",
    ViolationCode.UNKNOWN_FIELD: "There is no such field.",
    ViolationCode.INVALID_TYPE: "This is not of the right type.",
    ViolationCode.INVALID_CHOICE: "This is not one of the possible values.",
    ViolationCode.INVALID_TIME: "This is not a time with its offset, such as 2026-11-21T03:00:00Z.",
    ViolationCode.INVALID_ADDRESS: "This is no e-mail address, and no phone number with its country code.",
    ViolationCode.INVALID_CURSOR: "This is not a valid cursor.",
    ViolationCode.OUT_OF_RANGE: "This is too small or too large.",
    ViolationCode.TOO_LONG: "This is too long.",
    ViolationCode.ONLY_DEAD: "Only dead messages can be requeued or discarded.",
}


def handle_problems(app: Flask) -> None:
    """Register the error handlers."""
    app.register_error_handler(ProblemError, _refused)
    app.register_error_handler(ActionError, lambda error: problem(Code(error.code)))
    handle_failures(app, problem)


def problem(code: StrEnum, **members: Any) -> Response:
    """Return the response for a code: a page, or JSON with these additional members."""
    problem_type = PROBLEM_TYPES[code]
    document = problem_document(problem_type, code, g.request_id, **members)
    if is_page_request():
        status = HTTPStatus(problem_type.status)
        # Only a request whose form was read ends with one of these.
        has_form = request.method == "POST" and status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)
        return page("problem.html", status, problem=document, back=form_page(request.form) if has_form else None)
    return json_response(document, REALM)


def field_texts(error: ValidationFailedError) -> dict[str, str]:
    """Return a text for each field of a form that violates its schema."""
    return {violation.pointer: VIOLATIONS[violation.code] for violation in error.violations}


def _refused(error: ProblemError) -> Response:
    match error:
        case NotSignedInError(form=form):
            return redirect_to_sign_in(form)
        case ValidationFailedError(violations=violations):
            return problem(error.code, errors=violation_documents(violations, VIOLATIONS))
        case InsufficientScopeError(scope=scope):
            response = problem(error.code, scope=scope)
            # RFC 6750 §3.1 requires the challenge in this response, too.
            response.headers["WWW-Authenticate"] = f'{challenge(REALM)}, error="insufficient_scope", scope="{scope}"'
            return response
        case TooManyWrongTokensError(retry_after_seconds=seconds) | BusyError(retry_after_seconds=seconds):
            return with_retry_after(problem(error.code), seconds)
        case _:
            return problem(error.code)
