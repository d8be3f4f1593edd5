"""Why a client does not get what it asked for; ``problems`` turns each of these into an answer."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

DATABASE_FAILURES = (DBAPIError, PoolTimeoutError)
"""What may mean that the database is away; ``is_database_away`` tells."""


class Code(StrEnum):
    """The stable names of refusals, which clients may rely on."""

    BAD_REQUEST = "bad_request"
    MALFORMED_JSON = "malformed_json"
    INVALID_OR_EXPIRED = "invalid_or_expired"
    TOKEN_REQUIRED = "token_required"
    INVALID_TOKEN = "invalid_token"
    INVALID_CREDENTIALS = "invalid_credentials"
    INVALID_REFRESH_TOKEN = "invalid_refresh_token"
    ACCOUNT_NOT_ACTIVATED = "account_not_activated"
    WRONG_PASSWORD = "wrong_password"
    FRESH_SIGN_IN_REQUIRED = "fresh_sign_in_required"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    ALREADY_ACTIVE = "already_active"
    ADDRESS_TAKEN = "address_taken"
    BODY_TOO_LARGE = "body_too_large"
    URI_TOO_LONG = "uri_too_long"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    VALIDATION_FAILED = "validation_failed"
    IDEMPOTENCY_KEY_MALFORMED = "idempotency_key_malformed"
    IDEMPOTENCY_KEY_IN_USE = "idempotency_key_in_use"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TOO_MANY_REQUESTS = "too_many_requests"
    RESEND_TOO_SOON = "resend_too_soon"
    HEADERS_TOO_LARGE = "headers_too_large"
    INTERNAL_ERROR = "internal_error"
    DATABASE_UNAVAILABLE = "database_unavailable"
    NOT_READY = "not_ready"
    ORGANIZATION_FAILED = "organization_failed"
    ORGANIZATION_NOT_READY = "organization_not_ready"


class FaultCode(StrEnum):
    """What can be wrong with one field of a body."""

    REQUIRED = "required"
    UNKNOWN_FIELD = "unknown_field"
    INVALID_TYPE = "invalid_type"
    INVALID_EMAIL = "invalid_email"
    INVALID_PHONE = "invalid_phone"
    INVALID_ID = "invalid_id"
    INVALID_CHOICE = "invalid_choice"
    INVALID_COUNTRY = "invalid_country"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_COMMON = "too_common"
    IS_THE_ADDRESS = "is_the_address"
    CONTROL_CHARACTER = "control_character"
    ADDRESS_REQUIRED = "address_required"
    ONE_ADDRESS_ONLY = "one_address_only"
    CHANNEL_WITHOUT_ADDRESS = "channel_without_address"
    ONE_FORM_REQUIRED = "one_form_required"


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a body; the pointer says where (RFC 6901 §6: ``#/email``)."""

    pointer: str
    code: FaultCode


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """The client's fault, told apart by its code."""

    code: ClassVar[Code]


class MalformedJsonError(Refusal):
    """The body is not JSON, or is JSON that two readers could read differently."""

    code = Code.MALFORMED_JSON


class UnsupportedMediaTypeError(Refusal):
    """The body is said to be something other than JSON."""

    code = Code.UNSUPPORTED_MEDIA_TYPE


class ValidationFailedError(Refusal):
    """The body is JSON, and not what was asked for."""

    code = Code.VALIDATION_FAILED

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__()
        self.faults = faults


class UnknownRegistrationError(Refusal):
    """No registration has that id."""

    code = Code.NOT_FOUND


class InvalidOrExpiredError(Refusal):
    """The code or link is wrong, used, expired, unknown or a decoy: which one stays untold."""

    code = Code.INVALID_OR_EXPIRED


class TooManyAttemptsError(Refusal):
    """The token has no attempts left; its link still works."""

    code = Code.TOO_MANY_ATTEMPTS


class AlreadyActiveError(Refusal):
    """Nothing is left to resend. The id's holder may know: looking the registration up says so too."""

    code = Code.ALREADY_ACTIVE


class ResendTooSoonError(Refusal):
    """The last message is too fresh."""

    code = Code.RESEND_TOO_SOON

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class OrganizationFailedError(Refusal):
    """The organization that was to be founded could not be: nothing will come of this registration."""

    code = Code.ORGANIZATION_FAILED


class OrganizationNotReadyError(Refusal):
    """The password is right, and the database of the user's organization cannot be used at the moment."""

    code = Code.ORGANIZATION_NOT_READY
    retry_after_seconds = 5


class TokenRequiredError(Refusal):
    """The request does not say who is asking: it has no bearer token."""

    code = Code.TOKEN_REQUIRED


class InvalidTokenError(Refusal):
    """The access token is none of ours, is not for us, has expired, or its session has ended."""

    code = Code.INVALID_TOKEN


class InvalidCredentialsError(Refusal):
    """Nobody has that address with that password: which of the two is wrong stays untold."""

    code = Code.INVALID_CREDENTIALS


class AccountNotActivatedError(Refusal):
    """The password is right, and the account waits for its code."""

    code = Code.ACCOUNT_NOT_ACTIVATED

    def __init__(self, registration_id: UUID) -> None:
        super().__init__()
        self.registration_id = registration_id


class InvalidRefreshTokenError(Refusal):
    """The refresh token is unknown, used, or its session has ended."""

    code = Code.INVALID_REFRESH_TOKEN


class UnknownSessionError(Refusal):
    """The user has no session of that id."""

    code = Code.NOT_FOUND


class WrongPasswordError(Refusal):
    """The user is signed in, and the password beside it is not theirs, or not any more."""

    code = Code.WRONG_PASSWORD


class FreshSignInRequiredError(Refusal):
    """The session is too old to be enough for this without the password."""

    code = Code.FRESH_SIGN_IN_REQUIRED


class AddressTakenError(Refusal):
    """Somebody else has proven the address. Told only to who has the code that went there."""

    code = Code.ADDRESS_TAKEN


class KeyMalformedError(Refusal):
    """The Idempotency-Key is not of the form that keys have."""

    code = Code.IDEMPOTENCY_KEY_MALFORMED


class KeyInUseError(Refusal):
    """The first request with the Idempotency-Key is still being carried out."""

    code = Code.IDEMPOTENCY_KEY_IN_USE


class KeyReusedError(Refusal):
    """The Idempotency-Key was another request's."""

    code = Code.IDEMPOTENCY_KEY_REUSED
