"""Why an operator does not get what was asked for; ``problems`` turns each of these into an answer.

What an act itself refuses is an ``ActingError``, whose codes are among those here.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

DATABASE_FAILURES = (DBAPIError, PoolTimeoutError)
"""What may mean that the database is away; ``is_database_away`` tells."""


class Code(StrEnum):
    """The stable names of refusals, which scripts may rely on."""

    BAD_REQUEST = "bad_request"
    MALFORMED_JSON = "malformed_json"
    TOKEN_REQUIRED = "token_required"  # noqa: S105 - the name of a refusal
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - likewise
    INSUFFICIENT_SCOPE = "insufficient_scope"
    FORM_EXPIRED = "form_expired"
    FOREIGN_ORIGIN = "foreign_origin"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNKNOWN_MESSAGE = "unknown_message"
    UNKNOWN_BULK = "unknown_bulk"
    UNKNOWN_ORGANIZATION = "unknown_organization"
    ORGANIZATION_NOT_READY = "organization_not_ready"
    NOT_DEAD = "not_dead"
    NOT_DISCARDED = "not_discarded"
    SUPERSEDED = "superseded"
    ERASED = "erased"
    ADDRESS_NOT_THEIRS = "address_not_theirs"
    WRONG_ADDRESS = "wrong_address"
    NOTHING_CHOSEN = "nothing_chosen"
    BODY_TOO_LARGE = "body_too_large"
    URI_TOO_LONG = "uri_too_long"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    VALIDATION_FAILED = "validation_failed"
    TOO_MANY_REQUESTS = "too_many_requests"
    HEADERS_TOO_LARGE = "headers_too_large"
    INTERNAL_ERROR = "internal_error"
    DATABASE_UNAVAILABLE = "database_unavailable"
    NOT_READY = "not_ready"


class FaultCode(StrEnum):
    """What can be wrong with one field of a body, a form or a query."""

    REQUIRED = "required"
    UNKNOWN_FIELD = "unknown_field"
    INVALID_TYPE = "invalid_type"
    INVALID_CHOICE = "invalid_choice"
    INVALID_TIME = "invalid_time"
    INVALID_CURSOR = "invalid_cursor"
    OUT_OF_RANGE = "out_of_range"
    TOO_LONG = "too_long"
    ONLY_THE_DEAD = "only_the_dead"


@dataclass(frozen=True)
class Fault:
    """One thing wrong; the pointer says where (RFC 6901 §6: ``#/reason``; a query's fields by their names)."""

    pointer: str
    code: FaultCode


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """The asker's fault, told apart by its code."""

    code: ClassVar[Code]


class MalformedJsonError(Refusal):
    """The body is not JSON, or is JSON that two readers could read differently."""

    code = Code.MALFORMED_JSON


class UnsupportedMediaTypeError(Refusal):
    """The body is said to be something other than JSON."""

    code = Code.UNSUPPORTED_MEDIA_TYPE


class ValidationFailedError(Refusal):
    """What was sent can be read, and is not what was asked for."""

    code = Code.VALIDATION_FAILED

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__()
        self.faults = faults


class TokenRequiredError(Refusal):
    """The request does not say who is asking."""

    code = Code.TOKEN_REQUIRED


class InvalidTokenError(Refusal):
    """The token is none of ours, has expired or was revoked: which one stays untold."""

    code = Code.INVALID_TOKEN


class NotSignedInError(Refusal):
    """A page is asked for without a session, or with one that has ended."""

    code = Code.TOKEN_REQUIRED


class InsufficientScopeError(Refusal):
    """The token is right, and not for this; ``scope`` is what it lacks."""

    code = Code.INSUFFICIENT_SCOPE

    def __init__(self, scope: str) -> None:
        super().__init__()
        self.scope = scope


class FormExpiredError(Refusal):
    """The form does not carry its session's CSRF token: it is from before signing in again, or not ours."""

    code = Code.FORM_EXPIRED


class ForeignOriginError(Refusal):
    """A browser sent the form from another site."""

    code = Code.FOREIGN_ORIGIN


class TooManyAttemptsError(Refusal):
    """Too many wrong tokens from one network."""

    code = Code.TOO_MANY_REQUESTS

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds
