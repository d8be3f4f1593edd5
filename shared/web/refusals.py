"""Why an asker does not get what was asked for, as far as that is the same whatever is asked of whichever service."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class CommonCode(StrEnum):
    """The stable names of what any request may be refused for; each service has more of its own."""

    BAD_REQUEST = "bad_request"
    MALFORMED_JSON = "malformed_json"
    TOKEN_REQUIRED = "token_required"  # noqa: S105 - the name of a refusal
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
    NOT_READY = "not_ready"


NO_SUCH_FIELD = "unknown_field"
"""What every service calls a field that there is not."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with what was sent, by a code of the service's.

    The pointer says where (RFC 6901 §6: ``#/email``); the fields of a form or a query go by their names.
    """

    pointer: str
    code: str


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """The asker's fault, told apart by its code."""

    code: ClassVar[StrEnum]


class MalformedJsonError(Refusal):
    """The body is not JSON, or is JSON that two readers could read differently."""

    code = CommonCode.MALFORMED_JSON


class UnsupportedMediaTypeError(Refusal):
    """The body is said to be something other than JSON."""

    code = CommonCode.UNSUPPORTED_MEDIA_TYPE


class ValidationFailedError(Refusal):
    """What was sent can be read, and is not what was asked for."""

    code = CommonCode.VALIDATION_FAILED

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__()
        self.faults = faults


class TokenRequiredError(Refusal):
    """The request does not say who is asking: it has no bearer token."""

    code = CommonCode.TOKEN_REQUIRED


class InvalidTokenError(Refusal):
    """The token is none of ours, is not for this, has expired, or was ended: which one stays untold."""

    code = CommonCode.INVALID_TOKEN
