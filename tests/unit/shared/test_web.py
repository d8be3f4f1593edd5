"""The shared parts of HTTP responses, without a request."""

import json
from enum import StrEnum
from http import HTTPStatus

import pytest
from marshmallow import RAISE, Schema, fields
from werkzeug.exceptions import default_exceptions

from shared.web.problem_responses import challenge, violation_documents
from shared.web.problems import (
    COMMON_PROBLEM_TYPES,
    NO_SUCH_FIELD,
    CommonCode,
    TokenRequiredError,
    ValidationFailedError,
    Violation,
    code_of,
    problem_document,
)
from shared.web.requests import WHOLE_DOCUMENT, bearer_token, loaded
from shared.web.worker import raw_response


class Place(StrEnum):
    """Error messages of the test's schemas."""

    MISSING = "missing"


class InnerSchema(Schema):
    class Meta:
        unknown = RAISE

    error_messages = {"unknown": NO_SUCH_FIELD}  # noqa: RUF012 - marshmallow's way
    name = fields.String(required=True, error_messages={"required": Place.MISSING})


class OuterSchema(InnerSchema):
    inner = fields.Nested(InnerSchema)


def violations_in(values: dict[str, object], within: str) -> list[tuple[str, str]]:
    with pytest.raises(ValidationFailedError) as refused:
        loaded(OuterSchema(), values, within=within)
    return sorted((fault.pointer, fault.code) for fault in refused.value.violations)


def test_a_problem_has_the_members_of_rfc_9457_and_extensions() -> None:
    code = CommonCode.NOT_FOUND
    assert problem_document(COMMON_PROBLEM_TYPES[code], code, "an-id", missing=["it"]) == {
        "type": "/problems/not_found",
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing at this address.",
        "code": "not_found",
        "request_id": "an-id",
        "missing": ["it"],
    }


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, CommonCode.NOT_FOUND),
        (406, CommonCode.BAD_REQUEST),
        (500, CommonCode.INTERNAL_ERROR),
        (502, CommonCode.INTERNAL_ERROR),
    ],
)
def test_a_status_without_its_own_code_keeps_its_class(status: int, code: CommonCode) -> None:
    assert status in default_exceptions
    assert code_of(HTTPStatus(status)) is code


def test_violations_have_json_pointers_in_bodies_and_names_in_queries() -> None:
    values = {"a/b~ç": 1, "inner": {"é": 1}}
    assert violations_in(values, WHOLE_DOCUMENT) == [
        ("#/a~1b~0%C3%A7", NO_SUCH_FIELD),
        ("#/inner/%C3%A9", NO_SUCH_FIELD),
        ("#/inner/name", Place.MISSING),
        ("#/name", Place.MISSING),
    ]
    assert violations_in({"a/b~ç": 1}, "") == [("a/b~ç", NO_SUCH_FIELD), ("name", Place.MISSING)]


def test_a_violation_has_the_services_message() -> None:
    faults = [Violation("#/name", Place.MISSING)]
    assert violation_documents(faults, {Place.MISSING: "It is not there."}) == [
        {"pointer": "#/name", "code": "missing", "message": "It is not there."}
    ]


@pytest.mark.parametrize(("header", "token"), [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("BEARER a b", "a b")])
def test_a_bearer_token_is_read_from_its_header(header: str, token: str) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_a_request_without_a_bearer_token_is_rejected(header: str) -> None:
    with pytest.raises(TokenRequiredError):
        bearer_token(header)


def test_only_an_invalid_token_gets_an_error_in_the_challenge() -> None:
    assert challenge("here", CommonCode.TOKEN_REQUIRED) == 'Bearer realm="here"'
    assert challenge("here", CommonCode.INVALID_TOKEN) == 'Bearer realm="here", error="invalid_token"'


def test_an_unreadable_request_gets_a_complete_problem_response() -> None:
    code = CommonCode.HEADERS_TOO_LARGE
    head, _, body = raw_response(COMMON_PROBLEM_TYPES[code], code, "an-id").partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 431 Request Header Fields Too Large"
    assert f"Content-Length: {len(body)}" in lines
    assert {"X-Request-Id: an-id", "Connection: close", "Content-Type: application/problem+json"} <= set(lines)
    assert json.loads(body)["code"] == "headers_too_large"
