"""Build the OpenAPI document from the app's routes. apispec converts marshmallow schemas to JSON Schema."""

import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from inspect import cleandoc, getdoc
from itertools import groupby
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from marshmallow import Schema
from werkzeug.routing import Rule

from api_service.errors import CODES, AnyCode, Code, ViolationCode
from api_service.http.annotations import (
    JSON,
    Mark,
    OperationDoc,
    RequestDoc,
    ResponseDoc,
    Tag,
    marks_of,
    operation_doc_of,
)
from api_service.http.problems import PROBLEM_TYPES, REALM, VIOLATION_MESSAGES
from api_service.outbox_signals.wait_for_settled import MAX_WAIT_SECONDS
from api_service.rate_limits import Limit
from api_service.schemas.responses import AN_ID, ProblemSchema
from shared.web.problem_responses import challenge
from shared.web.problems import MEDIA_TYPE, CommonCode, problem_document

Json = dict[str, Any]
BEARER = "accessToken"
SECURITY_SCHEMES: Mapping[str, Json] = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `access_token` of a session. Its keys are at `/.well-known/jwks.json`.",
    }
}


def _header(doc: str, example: str | int, **schema: Any) -> Json:
    return {"description": doc, "schema": {"type": "string", "examples": [example]} | schema}


HEADERS: Mapping[str, Json] = {
    "X-Request-Id": _header("The request's id: the client's if it is valid, else a new one.", AN_ID),
    "Location": _header("The address of the registration.", f"/v1/registrations/{AN_ID}", format="uri-reference"),
    "Retry-After": _header("After how many seconds to retry.", 60, type="integer", minimum=1),
    "WWW-Authenticate": _header("The accepted scheme (RFC 6750).", challenge(REALM)),
    "Allow": _header("The methods of this path.", "GET, HEAD, OPTIONS"),
    "RateLimit": _header(
        "What remains of the limits (draft-ietf-httpapi-ratelimit-headers).", '"registrations_per_network";r=19;t=60'
    ),
    "RateLimit-Policy": _header("The limits.", '"registrations_per_network";q=20;w=60'),
    "Preference-Applied": _header("The response was delayed as preferred.", "wait=5"),
    "Idempotency-Replayed": _header("The response of the first request was replayed.", "true", enum=["true"]),
    "Content-Disposition": _header("The suggested file name.", 'attachment; filename="personal-data.json"'),
}
PARAMETERS: Mapping[str, Json] = {
    "X-Request-Id": {
        "in": "header",
        "name": "X-Request-Id",
        "description": "The request's id in logs and responses: letters, digits, `.`, `_`, `-`; at most 128.",
        "schema": {"type": "string"},
        "example": AN_ID,
    },
    "Idempotency-Key": {
        "in": "header",
        "name": "Idempotency-Key",
        "description": "Makes retries safe: for a day, the same key and body execute once and get the same response. "
        "16 to 255 characters, with or without quotes; for example a UUID per operation.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~:/+=@-]{16,255}$"},
        "example": "5b2f0d3e-7c1a-4e8b-9f66-0a1b2c3d4e5f",
    },
    "Prefer": {
        "in": "header",
        "name": "Prefer",
        "description": f"`wait=N`: respond once the message is sent or dead, after at most N seconds, "
        f"up to {MAX_WAIT_SECONDS} (RFC 7240).",
        "schema": {"type": "string"},
        "example": "wait=1",
    },
    "token": {
        "in": "query",
        "name": "token",
        "description": "The token of the link.",
        "schema": {"type": "string"},
    },
}
_MEMBERS: Mapping[AnyCode, Json] = {
    CommonCode.VALIDATION_FAILED: {
        "errors": [
            {
                "pointer": "#/email",
                "code": ViolationCode.REQUIRED,
                "message": VIOLATION_MESSAGES[ViolationCode.REQUIRED],
            }
        ]
    },
    Code.TOO_MANY_REQUESTS: {"limits": [Limit.REGISTRATIONS_PER_NETWORK]},
    Code.ACCOUNT_NOT_ACTIVATED: {"resend": f"/v1/registrations/{AN_ID}/resend"},
}
EVERYWHERE = (
    CommonCode.BAD_REQUEST,
    CommonCode.REQUEST_TIMEOUT,
    CommonCode.URI_TOO_LONG,
    CommonCode.HEADERS_TOO_LARGE,
    CommonCode.INTERNAL_ERROR,
)
"""Problems that any request can cause."""
OF_JSON = (
    CommonCode.MALFORMED_JSON,
    CommonCode.BODY_TOO_LARGE,
    CommonCode.UNSUPPORTED_MEDIA_TYPE,
    CommonCode.VALIDATION_FAILED,
)
OF_MARKS = {
    Mark.AUTHENTICATED: (CommonCode.TOKEN_REQUIRED, CommonCode.INVALID_TOKEN),
    Mark.ACTIVATED: (Code.ACCOUNT_NOT_ACTIVATED,),
    Mark.IDEMPOTENT: (Code.IDEMPOTENCY_KEY_MALFORMED, Code.IDEMPOTENCY_KEY_IN_USE, Code.IDEMPOTENCY_KEY_REUSED),
}
NOT_YET = {
    Code.RESEND_TOO_SOON,
    Code.TOO_MANY_REQUESTS,
    Code.IDEMPOTENCY_KEY_IN_USE,
    Code.ORGANIZATION_NOT_READY,
    Code.OVERLOADED,
    CommonCode.DATABASE_UNAVAILABLE,
}
"""Problems with a Retry-After header."""
OPENAPI = "3.1.0"
AUTOMATIC_METHODS = {"HEAD", "OPTIONS"}
"""Methods that Flask adds to every route."""
INTRODUCTION = """\
Requests and responses are JSON. Unknown fields and bodies over 16 KiB are rejected. `X-Request-Id` is echoed or
created.

Errors are `application/problem+json` (RFC 9457) with a stable `code`. An unknown path is
404 `not_found`, another method 405 `method_not_allowed` with `Allow`.
"""


class Converter(OpenAPIConverter):
    """Adds the description and the allowed combinations of fields to JSON Schema."""

    def schema2jsonschema(self, schema: Any) -> Json:
        """Return the JSON Schema of a marshmallow schema."""
        made: Json = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]  # apispec has no types there
        about: Json = {"description": type(schema).__doc__} if type(schema).__doc__ else {}
        forms = getattr(schema, "forms", {})
        if "oneOf" in forms:  # without an example, Swagger UI sends the fields of all forms together
            shown = {*made.get("required", ()), *forms["oneOf"][0]["required"]}
            example = {name: field["examples"][0] for name, field in made["properties"].items() if name in shown}
            about["examples"] = [example]
        return made | about | forms


class Plugin(MarshmallowPlugin):
    """apispec's plugin with the converter above."""

    Converter = Converter


def document_of(app: Flask) -> Json:
    """Return the OpenAPI document of all annotated routes."""
    spec = APISpec(
        title="Signpost",
        version=version("signpost"),
        openapi_version=OPENAPI,
        info={"description": INTRODUCTION},
        plugins=[Plugin(schema_name_resolver=_name_of)],
        tags=[{"name": tag.value} for tag in Tag],
    )
    _add_components(spec)
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if doc := operation_doc_of(view):
            operation = operation_of(rule, view, doc)
            spec.path(path_of(rule), operations={method.lower(): operation for method in methods_of(rule)})
    return dict(spec.to_dict())


def path_of(rule: Rule) -> str:
    """Return the path with parameters in OpenAPI's syntax."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def methods_of(rule: Rule) -> list[str]:
    """Return the methods that the route declares."""
    return sorted((rule.methods or set()) - AUTOMATIC_METHODS)


def _add_components(spec: APISpec) -> None:
    for name, header in HEADERS.items():
        spec.components.header(name, header)
    for name, parameter in PARAMETERS.items():
        spec.components.parameter(name, parameter["in"], {key: parameter[key] for key in parameter if key != "in"})
    for name, scheme in SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for code in CODES:
        spec.components.example(code.value, example_of(code))
        spec.components.response(code.value, problem_response([code]))


def _name_of(schema: type[Schema] | Schema | str) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


def example_of(code: AnyCode) -> Json:
    """Return an example of the problem."""
    document = problem_document(PROBLEM_TYPES[code], code, AN_ID, **_MEMBERS.get(code, {}))
    return {"summary": document["title"], "value": document}


def operation_of(rule: Rule, view: Callable[..., Any], doc: OperationDoc) -> Json:
    """Return the operation; apispec resolves its marshmallow schemas."""
    summary, _, more = cleandoc(getdoc(view) or "").partition("\n\n")
    marks = marks_of(view)
    operation: Json = {
        "operationId": view.__name__,
        "tags": [doc.tag.value],
        "summary": summary.rstrip("."),
        "description": more,
        "parameters": [*_path_parameters(rule), *_parameters(doc, marks)],
        "requestBody": _request_body(doc.body),
        "responses": _responses(doc, marks),
        "security": [{BEARER: []}] if Mark.AUTHENTICATED in marks else [],
    }
    return {name: value for name, value in operation.items() if value or name == "security"}


def codes_of(doc: OperationDoc, marks: frozenset[Mark]) -> list[AnyCode]:
    """Return all problem codes of the operation, by status."""
    codes = {*EVERYWHERE, *doc.problems}
    codes |= {code for mark in marks for code in OF_MARKS[mark]}
    if doc.body and doc.body.media_type == JSON:
        codes |= {*OF_JSON}
    if doc.needs_database:
        codes |= {CommonCode.DATABASE_UNAVAILABLE}
    return sorted(codes, key=lambda code: (PROBLEM_TYPES[code].status, CODES.index(code)))


def _path_parameters(rule: Rule) -> Iterator[Json]:
    for name in sorted(rule.arguments):
        schema = {"type": "string"} | ({"format": "uuid"} if f"<uuid:{name}>" in rule.rule else {})
        yield {"in": "path", "name": name, "required": True, "schema": schema}


def _parameters(doc: OperationDoc, marks: frozenset[Mark]) -> list[str]:
    key = ["Idempotency-Key"] if Mark.IDEMPOTENT in marks else []
    return [*doc.parameters, *key, "X-Request-Id"]


def _request_body(body: RequestDoc | None) -> Json | None:
    if body is None:
        return None
    return {"required": body.is_required, "content": {body.media_type: {"schema": body.schema()}}}


def _responses(doc: OperationDoc, marks: frozenset[Mark]) -> Json:
    responses = {str(status.value): _success_response(response, marks) for status, response in doc.responses.items()}
    for status, codes in groupby(codes_of(doc, marks), key=lambda code: PROBLEM_TYPES[code].status):
        _merge(responses, str(status), list(codes))
    return dict(sorted(responses.items()))


def _success_response(response: ResponseDoc, marks: frozenset[Mark]) -> Json:
    replayed = ("Idempotency-Replayed",) if Mark.IDEMPOTENT in marks else ()
    content: Json = {}
    if response.schema:
        content[response.media_type] = {"schema": response.schema}
    elif response.media_type != JSON:
        content[response.media_type] = {"schema": {"type": "string"}}
    return _response(response.meaning, (*response.headers, *replayed), content)


def problem_response(codes: list[AnyCode]) -> Json:
    """Return the response for problem codes that share a status."""
    meaning = "\n".join(f"- `{code}`: {PROBLEM_TYPES[code].detail}" for code in codes)
    schema = {"allOf": [ProblemSchema, {"properties": {"code": {"enum": [code.value for code in codes]}}}]}
    examples = {code.value: {"$ref": f"#/components/examples/{code.value}"} for code in codes}
    return _response(meaning, _problem_headers(codes), {MEDIA_TYPE: {"schema": schema, "examples": examples}})


def _problem_headers(codes: list[AnyCode]) -> tuple[str, ...]:
    headers: tuple[str, ...] = ()
    if PROBLEM_TYPES[codes[0]].status == HTTPStatus.UNAUTHORIZED:
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
    """Add the problems of a status. A page can have the same status."""
    if status in responses:
        present, added = responses[status], problem_response(codes)
        present["description"] += "\n" + added["description"]
        present["headers"] |= added["headers"]
        present["content"] |= added["content"]
    else:
        shared = {"$ref": f"#/components/responses/{codes[0].value}"}
        responses[status] = shared if len(codes) == 1 else problem_response(codes)
