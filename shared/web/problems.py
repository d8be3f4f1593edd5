"""Problems of RFC 9457: stable codes, the errors that carry them, and their documents. Independent of Flask."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import quote

MEDIA_TYPE = "application/problem+json"


class CommonCode(StrEnum):
    """Codes that any request of either service may get. Each service adds its own."""

    BAD_REQUEST = "bad_request"
    MALFORMED_JSON = "malformed_json"
    TOKEN_REQUIRED = "token_required"  # noqa: S105 - the name of a problem
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - likewise
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    URI_TOO_LONG = "uri_too_long"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    VALIDATION_FAILED = "validation_failed"
    REQUEST_TIMEOUT = "request_timeout"
    HEADERS_TOO_LARGE = "headers_too_large"
    INTERNAL_ERROR = "internal_error"
    DATABASE_UNAVAILABLE = "database_unavailable"


NO_SUCH_FIELD = "unknown_field"
"""The violation code of an unknown field, in all services."""


@dataclass(frozen=True)
class Violation:
    """One invalid part of a request, with a code of the service.

    The pointer is a JSON pointer (RFC 6901 §6: ``#/email``), or the name of a field in a form or query. A field of a
    schema reports violations within its value by pointers without ``#``.
    """

    pointer: str
    code: str


def child_pointer(pointer: str, name: str) -> str:
    """Return the JSON pointer of a member, as a URI fragment (RFC 6901 §3, §6)."""
    return f"{pointer}/{quote(name.replace('~', '~0').replace('/', '~1'), safe='~')}"


class ProblemError(Exception):
    """An error of the client, with a stable code."""

    code: ClassVar[StrEnum]


class MalformedJsonError(ProblemError):
    """The body is not JSON, or is ambiguous JSON."""

    code = CommonCode.MALFORMED_JSON


class UnsupportedMediaTypeError(ProblemError):
    """The body's media type is not JSON."""

    code = CommonCode.UNSUPPORTED_MEDIA_TYPE


class ValidationFailedError(ProblemError):
    """The body is JSON and violates the schema."""

    code = CommonCode.VALIDATION_FAILED

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__()
        self.violations = violations


class TokenRequiredError(ProblemError):
    """The request has no bearer token."""

    code = CommonCode.TOKEN_REQUIRED


class InvalidTokenError(ProblemError):
    """The token is unknown, expired, revoked, or made for another purpose. Clients do not learn which."""

    code = CommonCode.INVALID_TOKEN


@dataclass(frozen=True)
class ProblemType:
    """Status and detail of a code."""

    status: int
    detail: str


COMMON_PROBLEM_TYPES: Mapping[StrEnum, ProblemType] = {
    CommonCode.BAD_REQUEST: ProblemType(400, "The request could not be understood."),
    CommonCode.MALFORMED_JSON: ProblemType(400, "The body is not JSON in UTF-8, or has a duplicate name."),
    CommonCode.NOT_FOUND: ProblemType(404, "There is nothing at this address."),
    CommonCode.METHOD_NOT_ALLOWED: ProblemType(405, "The Allow header lists the methods of this address."),
    CommonCode.REQUEST_TIMEOUT: ProblemType(408, "The request took too long to arrive."),
    CommonCode.HEADERS_TOO_LARGE: ProblemType(431, "The request's headers are too long."),
    CommonCode.INTERNAL_ERROR: ProblemType(
        500, "The service failed. Its operators can find the cause by the request_id."
    ),
    CommonCode.DATABASE_UNAVAILABLE: ProblemType(503, "The database is unavailable; try again shortly."),
}
"""The common codes with the same text in both services."""

_CODES_BY_STATUS = {
    HTTPStatus.NOT_FOUND: CommonCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: CommonCode.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: CommonCode.BODY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG: CommonCode.URI_TOO_LONG,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: CommonCode.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: CommonCode.HEADERS_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR: CommonCode.INTERNAL_ERROR,
}


def code_of(status: HTTPStatus) -> CommonCode:
    """Return the code for a library's error: a generic one for a status that has no code here."""
    is_server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return _CODES_BY_STATUS.get(status, CommonCode.INTERNAL_ERROR if is_server_error else CommonCode.BAD_REQUEST)


def title_of(code: StrEnum) -> str:
    """Return the title of a problem: its code in words."""
    return code.replace("_", " ").capitalize().replace("Uri", "URI").replace("json", "JSON")


def problem_document(problem_type: ProblemType, code: StrEnum, request_id: str, **members: Any) -> dict[str, Any]:
    """Return the JSON document of a problem."""
    return {
        "type": f"/problems/{code}",
        "title": title_of(code),
        "status": problem_type.status,
        "detail": problem_type.detail,
        "code": code,
        "request_id": request_id,
    } | members
