"""One operation of the document: what a route was described as, and what follows from that."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from inspect import cleandoc, getdoc
from itertools import groupby
from typing import Any

from werkzeug.routing import Rule

from api_service.answer_schemas import ProblemSchema
from api_service.describing import JSON, Answer, Body, Description, Mark, marks_of
from api_service.errors import CODES, AnyCode, Code
from api_service.openapi.components import BEARER, Json
from api_service.problem_words import KINDS
from shared.web.kinds import MEDIA_TYPE
from shared.web.refusals import CommonCode

EVERYWHERE = (
    CommonCode.BAD_REQUEST,
    CommonCode.REQUEST_TIMEOUT,
    CommonCode.URI_TOO_LONG,
    CommonCode.HEADERS_TOO_LARGE,
    CommonCode.INTERNAL_ERROR,
)
"""What the server, or a fault of ours, can answer to any request."""
OF_JSON = (
    CommonCode.MALFORMED_JSON,
    CommonCode.BODY_TOO_LARGE,
    CommonCode.UNSUPPORTED_MEDIA_TYPE,
    CommonCode.VALIDATION_FAILED,
)
OF_MARKS = {
    Mark.FOR_USERS: (CommonCode.TOKEN_REQUIRED, CommonCode.INVALID_TOKEN),
    Mark.IDEMPOTENT: (Code.IDEMPOTENCY_KEY_MALFORMED, Code.IDEMPOTENCY_KEY_IN_USE, Code.IDEMPOTENCY_KEY_REUSED),
}
NOT_YET = {
    Code.RESEND_TOO_SOON,
    Code.TOO_MANY_REQUESTS,
    Code.IDEMPOTENCY_KEY_IN_USE,
    Code.ORGANIZATION_NOT_READY,
    CommonCode.DATABASE_UNAVAILABLE,
}
"""With these comes Retry-After."""


def operation_of(rule: Rule, view: Callable[..., Any], description: Description) -> Json:
    """Return the operation; schemas are still those of marshmallow, for apispec to resolve."""
    summary, _, more = cleandoc(getdoc(view) or "").partition("\n\n")
    marks = marks_of(view)
    operation: Json = {
        "operationId": view.__name__,
        "tags": [description.tag.value],
        "summary": summary.rstrip("."),
        "description": more,
        "parameters": [*_path_parameters(rule), *_parameters(description, marks)],
        "requestBody": _request_body(description.body),
        "responses": _responses(description, marks),
        "security": [{BEARER: []}] if Mark.FOR_USERS in marks else [],
    }
    return {name: value for name, value in operation.items() if value or name == "security"}


def codes_of(description: Description, marks: frozenset[Mark]) -> list[AnyCode]:
    """Return all that the operation can refuse with, by status."""
    codes = {*EVERYWHERE, *description.refusals}
    codes |= {code for mark in marks for code in OF_MARKS[mark]}
    if description.body and description.body.media_type == JSON:
        codes |= {*OF_JSON}
    if description.needs_database:
        codes |= {CommonCode.DATABASE_UNAVAILABLE}
    return sorted(codes, key=lambda code: (KINDS[code].status, CODES.index(code)))


def _path_parameters(rule: Rule) -> Iterator[Json]:
    for name in sorted(rule.arguments):
        yield {"in": "path", "name": name, "required": True, "schema": {"type": "string", "format": "uuid"}}


def _parameters(description: Description, marks: frozenset[Mark]) -> list[str]:
    key = ["Idempotency-Key"] if Mark.IDEMPOTENT in marks else []
    return [*description.parameters, *key, "X-Request-Id"]


def _request_body(body: Body | None) -> Json | None:
    if body is None:
        return None
    return {"required": body.is_required, "content": {body.media_type: {"schema": body.schema()}}}


def _responses(description: Description, marks: frozenset[Mark]) -> Json:
    responses = {str(status.value): _answered(answer, marks) for status, answer in description.answers.items()}
    for status, codes in groupby(codes_of(description, marks), key=lambda code: KINDS[code].status):
        _merge(responses, str(status.value), list(codes))
    return dict(sorted(responses.items()))


def _answered(answer: Answer, marks: frozenset[Mark]) -> Json:
    replayed = ("Idempotency-Replayed",) if Mark.IDEMPOTENT in marks else ()
    content: Json = {}
    if answer.schema:
        content[answer.media_type] = {"schema": answer.schema}
    elif answer.media_type != JSON:
        content[answer.media_type] = {"schema": {"type": "string"}}
    return _response(answer.meaning, (*answer.headers, *replayed), content)


def refusal_of(codes: list[AnyCode]) -> Json:
    """Return the response that tells of one of the codes, all of one status."""
    meaning = "\n".join(f"- `{code}`: {KINDS[code].detail}" for code in codes)
    schema = {"allOf": [ProblemSchema, {"properties": {"code": {"enum": [code.value for code in codes]}}}]}
    examples = {code.value: {"$ref": f"#/components/examples/{code.value}"} for code in codes}
    return _response(meaning, _refused_headers(codes), {MEDIA_TYPE: {"schema": schema, "examples": examples}})


def _refused_headers(codes: list[AnyCode]) -> tuple[str, ...]:
    headers: tuple[str, ...] = ()
    if KINDS[codes[0]].status == HTTPStatus.UNAUTHORIZED:
        headers += ("WWW-Authenticate",)
    if codes[0] is CommonCode.METHOD_NOT_ALLOWED:
        headers += ("Allow",)
    if NOT_YET & {*codes}:
        headers += ("Retry-After",)
    if Code.TOO_MANY_REQUESTS in codes:
        headers += ("RateLimit", "RateLimit-Policy")
    return headers


def _response(meaning: str, headers: tuple[str, ...], content: Json) -> Json:
    response: Json = {"description": meaning, "headers": {name: name for name in (*headers, "X-Request-Id")}}
    return response | ({"content": content} if content else {})


def _merge(responses: Json, status: str, codes: list[AnyCode]) -> None:
    """Add what is refused with a status: by name if it is one thing; a page can be answered with the same status."""
    if status in responses:
        present, refused = responses[status], refusal_of(codes)
        present["description"] += "\n" + refused["description"]
        present["headers"] |= refused["headers"]
        present["content"] |= refused["content"]
    else:
        shared = {"$ref": f"#/components/responses/{codes[0].value}"}
        responses[status] = shared if len(codes) == 1 else refusal_of(codes)
