"""What is said of a code whenever it occurs, and the document that says it (RFC 9457). Only codes are for programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from shared.web.refusals import CommonCode

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A status, a title and a sentence."""

    status: HTTPStatus
    title: str
    detail: str


COMMON_KINDS: Mapping[StrEnum, Kind] = {
    CommonCode.BAD_REQUEST: Kind(HTTPStatus.BAD_REQUEST, "Bad request", "The request could not be understood."),
    CommonCode.MALFORMED_JSON: Kind(
        HTTPStatus.BAD_REQUEST, "Malformed JSON", "The body is not JSON in UTF-8, or names something twice."
    ),
    CommonCode.NOT_FOUND: Kind(HTTPStatus.NOT_FOUND, "Not found", "There is nothing at this address."),
    CommonCode.METHOD_NOT_ALLOWED: Kind(
        HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed", "The Allow header lists the methods of this address."
    ),
    CommonCode.REQUEST_TIMEOUT: Kind(
        HTTPStatus.REQUEST_TIMEOUT, "Request timeout", "The request took too long to arrive."
    ),
    CommonCode.HEADERS_TOO_LARGE: Kind(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large", "The request's headers are too long."
    ),
    CommonCode.INTERNAL_ERROR: Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error", "The fault is ours; the request_id helps us to find it."
    ),
    CommonCode.DATABASE_UNAVAILABLE: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "Database unavailable", "The database is away; try again shortly."
    ),
    CommonCode.NOT_READY: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready", "What is missing is named."),
}
"""Of the common codes, those of which both services say the same; the others each explains in words of its own."""

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
    """Decide what to call an error of a library's; one without a name here is our fault from 500 on."""
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return _CODES_BY_STATUS.get(status, CommonCode.INTERNAL_ERROR if is_ours else CommonCode.BAD_REQUEST)


def problem_document(kind: Kind, code: StrEnum, request_id: str, **members: Any) -> dict[str, Any]:
    """Return the JSON of a problem."""
    return {
        "type": f"/problems/{code}",
        "title": kind.title,
        "status": kind.status.value,
        "detail": kind.detail,
        "code": code,
        "request_id": request_id,
    } | members
