"""Errors of the HTTP process, with their stable codes. ``problems`` turns them into responses."""

from collections.abc import Mapping
from enum import StrEnum

from shared.web.problems import NO_SUCH_FIELD, CommonCode, ProblemError


class Code(StrEnum):
    """The stable codes of the console's own problems. ``CommonCode`` has those of all services."""

    INSUFFICIENT_SCOPE = "insufficient_scope"
    FORM_EXPIRED = "form_expired"
    FOREIGN_ORIGIN = "foreign_origin"
    UNKNOWN_MESSAGE = "unknown_message"
    UNKNOWN_BULK_ACTION = "unknown_bulk_action"
    UNKNOWN_ORGANIZATION = "unknown_organization"
    UNKNOWN_TARGET = "unknown_target"
    ORGANIZATION_NOT_READY = "organization_not_ready"
    NOT_PAUSED = "not_paused"
    PROVIDER_PAUSED = "provider_paused"
    BREAKER_NOT_OPEN = "breaker_not_open"
    NOT_DEAD = "not_dead"
    NOT_DISCARDED = "not_discarded"
    NOT_SUPPRESSED = "not_suppressed"
    NO_ORGANIZATION_KEYS = "no_organization_keys"
    NOT_RENEWABLE = "not_renewable"
    NO_FEEDBACK_KEYS = "no_feedback_keys"
    SUPERSEDED = "superseded"
    ERASED = "erased"
    ADDRESS_NOT_THEIRS = "address_not_theirs"
    WRONG_ADDRESS = "wrong_address"
    FILTER_REQUIRED = "filter_required"
    TOO_MANY_WRONG_TOKENS = "too_many_wrong_tokens"
    BUSY = "busy"


class ViolationCode(StrEnum):
    """The stable codes of violations in one field of a body, a form or a query."""

    REQUIRED = "required"
    UNKNOWN_FIELD = NO_SUCH_FIELD
    INVALID_TYPE = "invalid_type"
    INVALID_CHOICE = "invalid_choice"
    INVALID_TIME = "invalid_time"
    INVALID_ADDRESS = "invalid_address"
    INVALID_CURSOR = "invalid_cursor"
    OUT_OF_RANGE = "out_of_range"
    TOO_LONG = "too_long"
    ONLY_DEAD = "only_dead"


class NotSignedInError(ProblemError):
    """A page was requested without a valid session; ``form`` contains the fields of a submitted form."""

    code = CommonCode.TOKEN_REQUIRED

    def __init__(self, form: Mapping[str, str]) -> None:
        super().__init__()
        self.form = form


class InsufficientScopeError(ProblemError):
    """The token is valid but lacks the scope."""

    code = Code.INSUFFICIENT_SCOPE

    def __init__(self, scope: str) -> None:
        super().__init__()
        self.scope = scope


class FormExpiredError(ProblemError):
    """The form does not carry its session's CSRF token: it is older than the session, or forged."""

    code = Code.FORM_EXPIRED


class ForeignOriginError(ProblemError):
    """A browser sent the form from another site."""

    code = Code.FOREIGN_ORIGIN


class TooManyWrongTokensError(ProblemError):
    """The client sent too many wrong tokens."""

    code = Code.TOO_MANY_WRONG_TOKENS

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class BusyError(ProblemError):
    """As many threads as may count at the same time are counting already."""

    code = Code.BUSY
    retry_after_seconds = 5
