"""Errors as responses: application/problem+json (RFC 9457)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from flask import Flask, Response, g

from shared.web.problem_responses import handle_failures, json_response, violation_documents
from shared.web.problems import (
    COMMON_PROBLEM_TYPES,
    CommonCode,
    ProblemError,
    ProblemType,
    ValidationFailedError,
    problem_document,
)

REALM = "signpost-callbacks"


class Code(StrEnum):
    """The codes of this service's own problems."""

    WRONG_SIGNATURE = "wrong_signature"
    STALE_SIGNATURE = "stale_signature"
    WRONG_TOPIC = "wrong_topic"
    SNS_UNAVAILABLE = "sns_unavailable"


class ViolationCode(StrEnum):
    """The codes of invalid fields."""

    REQUIRED = "required"
    INVALID_TYPE = "invalid_type"
    INVALID_CHOICE = "invalid_choice"
    INVALID_TIME = "invalid_time"
    TOO_LONG = "too_long"


class WrongSignatureError(ProblemError):
    """The signature or the credentials of a gateway or provider are missing or wrong."""

    code = Code.WRONG_SIGNATURE


class StaleSignatureError(WrongSignatureError):
    """The signed time is too long ago, or in the future."""

    code = Code.STALE_SIGNATURE


class WrongTopicError(WrongSignatureError):
    """The message of Amazon SNS belongs to a topic that is not in SES_TOPICS."""

    code = Code.WRONG_TOPIC


class SnsUnavailableError(ProblemError):
    """Amazon SNS did not respond as expected, so a signature cannot be checked, or a subscription not confirmed."""

    code = Code.SNS_UNAVAILABLE


PROBLEM_TYPES: Mapping[StrEnum, ProblemType] = {
    **COMMON_PROBLEM_TYPES,
    Code.WRONG_SIGNATURE: ProblemType(403, "The signature or the credentials are missing or wrong."),
    Code.STALE_SIGNATURE: ProblemType(403, "The signature is too old, or from the future."),
    Code.WRONG_TOPIC: ProblemType(403, "The topic is not one of those that are allowed."),
    Code.SNS_UNAVAILABLE: ProblemType(503, "Amazon SNS did not respond as expected; try again shortly."),
    CommonCode.BODY_TOO_LARGE: ProblemType(413, "A body may have at most 16 KiB, or 1 MiB from a mail provider."),
    CommonCode.URI_TOO_LONG: ProblemType(414, "The request's address is too long."),
    CommonCode.UNSUPPORTED_MEDIA_TYPE: ProblemType(415, "Send plain application/json in UTF-8."),
    CommonCode.VALIDATION_FAILED: ProblemType(422, "Each violation is listed with its place."),
}
VIOLATIONS: Mapping[str, str] = {
    ViolationCode.REQUIRED: "This is required.",
    ViolationCode.INVALID_TYPE: "This is not of the right type.",
    ViolationCode.INVALID_CHOICE: "This is not one of the possible values.",
    ViolationCode.INVALID_TIME: "This is not a time with its offset, such as 2026-11-21T03:00:00Z.",
    ViolationCode.TOO_LONG: "This is too long.",
}


def handle_problems(app: Flask) -> None:
    """Register the error handlers."""
    app.register_error_handler(ProblemError, _refused)
    handle_failures(app, problem)


def problem(code: StrEnum, **members: Any) -> Response:
    """Return the response for a code, with these additional members."""
    return json_response(problem_document(PROBLEM_TYPES[code], code, g.request_id, **members), REALM)


def _refused(error: ProblemError) -> Response:
    if isinstance(error, ValidationFailedError):
        return problem(error.code, errors=violation_documents(error.violations, VIOLATIONS))
    return problem(error.code)
