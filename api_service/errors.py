"""Domain errors with stable codes. ``http.problems`` turns them into responses."""

import random
from enum import StrEnum
from uuid import UUID

from shared.profiles import ProfileViolation
from shared.web.problems import NO_SUCH_FIELD, CommonCode, ProblemError


class Code(StrEnum):
    """Stable problem codes of the API, besides ``CommonCode``."""

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
    NO_ORGANIZATIONS = "no_organizations"
    NOT_A_MEMBER = "not_a_member"
    ROLE_REQUIRED = "role_required"
    NOT_INVITED = "not_invited"
    LAST_OWNER = "last_owner"
    OVERLOADED = "overloaded"


AnyCode = CommonCode | Code
CODES: tuple[AnyCode, ...] = (*CommonCode, *Code)


class ViolationCode(StrEnum):
    """Stable codes for an invalid field of a request body."""

    REQUIRED = "required"
    UNKNOWN_FIELD = NO_SUCH_FIELD
    INVALID_TYPE = "invalid_type"
    INVALID_EMAIL = "invalid_email"
    INVALID_PHONE = "invalid_phone"
    MISSING_COUNTRY_CODE = "missing_country_code"
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
    NO_PROFILES = "no_profiles"
    NO_ORGANIZATIONS = "no_organizations"
    INVALID_FORMAT = ProfileViolation.INVALID_FORMAT
    INVALID_VALUE = ProfileViolation.INVALID_VALUE
    OUT_OF_RANGE = ProfileViolation.OUT_OF_RANGE
    TOO_DEEP = ProfileViolation.TOO_DEEP
    TOO_LARGE = ProfileViolation.TOO_LARGE
    SET_BY_OPERATORS = ProfileViolation.SET_BY_OPERATORS


class UnknownRegistrationError(ProblemError):
    """No registration has this id."""

    code = CommonCode.NOT_FOUND


class InvalidOrExpiredError(ProblemError):
    """The code or link is wrong, used, expired, unknown or a decoy. The response does not reveal which."""

    code = Code.INVALID_OR_EXPIRED


class TooManyAttemptsError(ProblemError):
    """The token has no attempts left. Its link still works."""

    code = Code.TOO_MANY_ATTEMPTS


class AlreadyActiveError(ProblemError):
    """The registration is active, so a resend is impossible. A lookup reveals the same to the holder of the id."""

    code = Code.ALREADY_ACTIVE


class NotYetError(ProblemError):
    """The request may succeed after ``retry_after_seconds``, which becomes the Retry-After header."""

    retry_after_seconds: int


class ResendTooSoonError(NotYetError):
    """The last message is younger than the cooldown."""

    code = Code.RESEND_TOO_SOON

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


SIGN_IN, OTHER = HASH_POOLS = ("sign_in", "other")
"""The pools of threads that hash passwords. Registrations, resets and changes of a signed-in user share one."""


class OverloadedError(NotYetError):
    """Too many requests wait for a password hash. ``pool`` is of HASH_POOLS."""

    code = Code.OVERLOADED

    def __init__(self, pool: str) -> None:
        super().__init__()
        self.pool = pool
        # At different times, so that the clients do not all come back together.
        self.retry_after_seconds = random.randint(1, 4)  # noqa: S311 - no secret


class OrganizationFailedError(ProblemError):
    """The organization could not be provisioned. Operators may retry it."""

    code = Code.ORGANIZATION_FAILED


class OrganizationNotReadyError(NotYetError):
    """The password is right, but the database of the user's organization is unavailable."""

    code = Code.ORGANIZATION_NOT_READY
    retry_after_seconds = 5


class NotAMemberError(ProblemError):
    """The user does not belong to the chosen organization. The response does not reveal whether it exists."""

    code = Code.NOT_A_MEMBER


class NoOrganizationsError(ProblemError):
    """ORGANIZATIONS is off."""

    code = Code.NO_ORGANIZATIONS


class RoleRequiredError(ProblemError):
    """The user's role in the organization does not permit this."""

    code = Code.ROLE_REQUIRED


class LastOwnerError(ProblemError):
    """The organization would lose its last owner."""

    code = Code.LAST_OWNER


class UnknownMemberError(ProblemError):
    """The organization has no member with this id."""

    code = CommonCode.NOT_FOUND


class UnknownInvitationError(ProblemError):
    """The organization has no open invitation with this id."""

    code = CommonCode.NOT_FOUND


class NotInvitedError(ProblemError):
    """The signed-in user has not proven the invited address. Only the holder of the link sees this."""

    code = Code.NOT_INVITED


class InvalidCredentialsError(ProblemError):
    """The address and the password do not match. The response does not reveal which is wrong."""

    code = Code.INVALID_CREDENTIALS


class AccountNotActivatedError(ProblemError):
    """The password or the limited session is valid, but the account is still pending."""

    code = Code.ACCOUNT_NOT_ACTIVATED

    def __init__(self, registration_id: UUID) -> None:
        super().__init__()
        self.registration_id = registration_id


class InvalidRefreshTokenError(ProblemError):
    """The refresh token is unknown or used, or its session has ended."""

    code = Code.INVALID_REFRESH_TOKEN


class UnknownSessionError(ProblemError):
    """The user has no session with this id."""

    code = CommonCode.NOT_FOUND


class WrongPasswordError(ProblemError):
    """A signed-in user, or the holder of a link, gave a wrong or outdated password."""

    code = Code.WRONG_PASSWORD


class PasswordRequiredError(ProblemError):
    """The link is valid, but its reader may not be the registrant, who must send the registration's password.

    The address was registered several times, or registrations get access before their activation.
    """

    code = Code.PASSWORD_REQUIRED


class FreshSignInRequiredError(ProblemError):
    """The session is too old to replace the password for this request."""

    code = Code.FRESH_SIGN_IN_REQUIRED


class AddressTakenError(ProblemError):
    """Another account has proven the address. Only the holder of a code sent there sees this."""

    code = Code.ADDRESS_TAKEN


class KeyMalformedError(ProblemError):
    """The Idempotency-Key has an invalid form."""

    code = Code.IDEMPOTENCY_KEY_MALFORMED


class KeyInUseError(NotYetError):
    """The first request with this Idempotency-Key is still in progress. A transaction takes far less than a second."""

    code = Code.IDEMPOTENCY_KEY_IN_USE
    retry_after_seconds = 1


class KeyReusedError(ProblemError):
    """The Idempotency-Key belongs to a different request."""

    code = Code.IDEMPOTENCY_KEY_REUSED
