"""Every refusal and every failure, in this one place: application/problem+json (RFC 9457), or a page for people."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g

from operator_console.acting import ActingError
from operator_console.web.errors import (
    Code,
    FaultCode,
    InsufficientScopeError,
    NotSignedInError,
    TooManyAttemptsError,
)
from operator_console.web.pages import is_for_people, page, to_sign_in
from shared.web.bearer import challenge
from shared.web.kinds import COMMON_KINDS, Kind, problem_document
from shared.web.problems import fault_documents, handle_failures, json_answer, with_retry_after
from shared.web.refusals import CommonCode, Refusal, ValidationFailedError

REALM = "signpost-console"

KINDS: Mapping[StrEnum, Kind] = {
    **COMMON_KINDS,
    CommonCode.TOKEN_REQUIRED: Kind(
        HTTPStatus.UNAUTHORIZED, "Token required", "Send an operator's token: Authorization: Bearer and the token."
    ),
    CommonCode.INVALID_TOKEN: Kind(
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
        HTTPStatus.CONFLICT, "Superseded", "A newer message replaced this one, or nobody waits for it any longer."
    ),
    Code.ERASED: Kind(HTTPStatus.CONFLICT, "Erased", "Its user was erased: there is nobody to tell."),
    Code.ADDRESS_NOT_THEIRS: Kind(
        HTTPStatus.CONFLICT, "Address not theirs", "It tells of a user, and may not be sent to that address."
    ),
    Code.WRONG_ADDRESS: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Wrong address", "The corrected recipient is no address of its channel."
    ),
    Code.NOTHING_CHOSEN: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Nothing chosen", "An empty filter means everything: say so with all."
    ),
    CommonCode.BODY_TOO_LARGE: Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too large", "A body may have 16 KiB at the most."
    ),
    CommonCode.URI_TOO_LONG: Kind(
        HTTPStatus.REQUEST_URI_TOO_LONG, "URI too long", "The request's address is too long."
    ),
    CommonCode.UNSUPPORTED_MEDIA_TYPE: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", "Send plain application/json in UTF-8."
    ),
    CommonCode.VALIDATION_FAILED: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Validation failed", "Each fault is listed with where it is."
    ),
    Code.TOO_MANY_REQUESTS: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong tokens", "Retry-After says in how many seconds to try again."
    ),
}

FAULTS: Mapping[str, str] = {
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


def handle_problems(app: Flask) -> None:
    """Have every error that leaves a route answered here."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(ActingError, _not_acted)
    handle_failures(app, problem)


def problem(code: StrEnum, **members: Any) -> Response:
    """Return the answer for a code: JSON with members of its own beside the usual ones, or a page that says it."""
    document = problem_document(KINDS[code], code, g.request_id, **members)
    if is_for_people():
        return page("problem.html", KINDS[code].status, problem=document)
    return json_answer(document, REALM)


def _refused(refusal: Refusal) -> Response:
    match refusal:
        case NotSignedInError(form=form):
            return to_sign_in(form)
        case ValidationFailedError(faults=faults):
            return problem(refusal.code, errors=fault_documents(faults, FAULTS))
        case InsufficientScopeError(scope=scope):
            answer = problem(refusal.code, scope=scope)
            # RFC 6750 §3.1 has the challenge in this answer, too.
            answer.headers["WWW-Authenticate"] = f'{challenge(REALM)}, error="insufficient_scope", scope="{scope}"'
            return answer
        case TooManyAttemptsError(retry_after_seconds=seconds):
            return with_retry_after(problem(refusal.code), seconds)
        case _:
            return problem(refusal.code)


def _not_acted(error: ActingError) -> Response:
    return problem(Code(error.code))
