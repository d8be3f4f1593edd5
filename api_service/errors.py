"""Why a client does not get what it asked for; ``problems`` turns each of these into an answer."""

from enum import StrEnum
from uuid import UUID

from shared.web.refusals import NO_SUCH_FIELD, CommonCode, Refusal


class Code(StrEnum):
    """The stable names of the API's own refusals, which clients may rely on as on the common ones."""

    INVALID_OR_EXPIRED = "invalid_or_expired"
    INVALID_CREDENTIALS = "invalid_credentials"
    INVALID_REFRESH_TOKEN = "invalid_refresh_token"
    ACCOUNT_NOT_ACTIVATED = "account_not_activated"
    WRONG_PASSWORD = "wrong_password"
    PASSWORD_REQUIRED = "password_required"
    FRESH_SIGN_IN_REQUIRED = "fresh_sign_in_required"
    ALREADY_ACTIVE = "already_active"
    ADDRESS_TAKEN = "address_taken"
    IDEMPOTENCY_KEY_MALFORMED = "idempotency_key_malformed"
    IDEMPOTENCY_KEY_IN_USE = "idempotency_key_in_use"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TOO_MANY_REQUESTS = "too_many_requests"
    RESEND_TOO_SOON = "resend_too_soon"
    ORGANIZATION_FAILED = "organization_failed"
    ORGANIZATION_NOT_READY = "organization_not_ready"


AnyCode = CommonCode | Code
CODES: tuple[AnyCode, ...] = (*CommonCode, *Code)


class FaultCode(StrEnum):
    """What can be wrong with one field of a body."""

    REQUIRED = "required"
    UNKNOWN_FIELD = NO_SUCH_FIELD
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


class UnknownRegistrationError(Refusal):
    """No registration has that id."""

    code = CommonCode.NOT_FOUND


class InvalidOrExpiredError(Refusal):
    """The code or link is wrong, used, expired, unknown or a decoy: which one stays untold."""

    code = Code.INVALID_OR_EXPIRED


class TooManyAttemptsError(Refusal):
    """The token has no attempts left; its link still works."""

    code = Code.TOO_MANY_ATTEMPTS


class AlreadyActiveError(Refusal):
    """Nothing is left to resend. The id's holder may know: looking the registration up says so too."""

    code = Code.ALREADY_ACTIVE


class NotYetError(Refusal):
    """What may be granted when it is asked for again, in ``retry_after_seconds``: the answer says so."""

    retry_after_seconds: int


class ResendTooSoonError(NotYetError):
    """The last message is too fresh."""

    code = Code.RESEND_TOO_SOON

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class OrganizationFailedError(Refusal):
    """The organization that was to be founded could not be: nothing will come of this registration."""

    code = Code.ORGANIZATION_FAILED


class OrganizationNotReadyError(NotYetError):
    """The password is right, and the database of the user's organization cannot be used at the moment."""

    code = Code.ORGANIZATION_NOT_READY
    retry_after_seconds = 5


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

    code = CommonCode.NOT_FOUND


class WrongPasswordError(Refusal):
    """The user is signed in, or has a link, and the password beside it is not theirs, or not any more."""

    code = Code.WRONG_PASSWORD


class PasswordRequiredError(Refusal):
    """The link is right, and several have registered its address: the link does not say which of them presses it."""

    code = Code.PASSWORD_REQUIRED


class FreshSignInRequiredError(Refusal):
    """The session is too old to be enough for this without the password."""

    code = Code.FRESH_SIGN_IN_REQUIRED


class AddressTakenError(Refusal):
    """Somebody else has proven the address. Told only to who has the code that went there."""

    code = Code.ADDRESS_TAKEN


class KeyMalformedError(Refusal):
    """The Idempotency-Key is not of the form that keys have."""

    code = Code.IDEMPOTENCY_KEY_MALFORMED


class KeyInUseError(NotYetError):
    """The first request with the Idempotency-Key is still being carried out; a transaction takes far less."""

    code = Code.IDEMPOTENCY_KEY_IN_USE
    retry_after_seconds = 1


class KeyReusedError(Refusal):
    """The Idempotency-Key was another request's."""

    code = Code.IDEMPOTENCY_KEY_REUSED
