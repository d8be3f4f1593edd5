"""Every refusal and every failure as application/problem+json (RFC 9457), in this one place."""

from enum import StrEnum
from typing import Any

from flask import Flask, Response, g, url_for

from api_service.errors import AccountNotActivatedError, NotYetError
from api_service.problem_words import FAULTS, KINDS
from api_service.rate_limits import TooManyRequestsError
from api_service.rate_limits.headers import limit_headers
from shared.web.kinds import problem_document
from shared.web.problems import fault_documents, handle_failures, json_answer
from shared.web.refusals import NO_SUCH_FIELD, Fault, Refusal, ValidationFailedError

REALM = "signpost"
MOST_FAULTS = 50
"""Of one request that are told; no schema has as many fields."""


def handle_problems(app: Flask) -> None:
    """Have every error that leaves a route answered here."""
    app.register_error_handler(Refusal, _refused)
    handle_failures(app, problem)


def problem(code: StrEnum, **members: Any) -> Response:
    """Return the answer for a code, with members of its own beside the usual ones."""
    return json_answer(problem_document(KINDS[code], code, g.request_id, **members), REALM)


def _refused(refusal: Refusal) -> Response:
    answer = problem(refusal.code, **_members(refusal))
    answer.headers.update(_headers(refusal))
    return answer


def _members(refusal: Refusal) -> dict[str, Any]:
    match refusal:
        case ValidationFailedError(faults=faults):
            return {"errors": fault_documents(_first_of(faults), FAULTS)}
        case AccountNotActivatedError(registration_id=registration_id):
            return {"resend": url_for("registrations.post_resend", registration_id=registration_id)}
        case TooManyRequestsError(reached=reached):
            return {"limits": sorted({tally.limit.value for tally in reached})}
        case _:
            return {}


def _first_of(faults: list[Fault]) -> list[Fault]:
    """Return the faults that are told, in the order of the schema, and behind them fields that there are not by name.

    Those come in any order, and as many as fit into a body: each is ten times as long in an answer as in a request.
    """
    known = [fault for fault in faults if fault.code != NO_SUCH_FIELD]
    unknown = sorted((fault for fault in faults if fault.code == NO_SUCH_FIELD), key=lambda fault: fault.pointer)
    return [*known, *unknown][:MOST_FAULTS]


def _headers(refusal: Refusal) -> dict[str, str]:
    match refusal:
        case TooManyRequestsError(tallies=tallies, retry_after_seconds=seconds):
            return limit_headers(tallies) | {"Retry-After": str(seconds)}
        case NotYetError(retry_after_seconds=seconds):
            return {"Retry-After": str(seconds)}
        case _:
            return {}
