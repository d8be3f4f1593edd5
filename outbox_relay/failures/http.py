"""HTTP statuses other than 2xx (RFC 9110 §15)."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from outbox_relay.failures.words import LONGEST_WAIT
from outbox_relay.model import FailureClass


@dataclass(frozen=True)
class HttpRule:
    """One row: which statuses, with which ``code`` in the answer's JSON (None: any), are whose fault."""

    kind: FailureClass
    meaning: str
    source: str
    statuses: Container[int]
    problem: str | None = None

    def fits(self, status: int, problem: str | None) -> bool:
        """Tell whether this rule is about such an answer."""
        return status in self.statuses and self.problem in (None, problem)


ABOUT_THE_REQUEST = frozenset({400, 413, 422})
EVERY_STATUS = range(1000)

HTTP_RULES = (
    HttpRule(
        FailureClass.RECIPIENT,
        "the request is understood, and its recipient refused",
        "RFC 9110 §15.5.1, §15.5.14, §15.5.21; the gateway's `code` is `invalid_recipient`",
        ABOUT_THE_REQUEST,
        "invalid_recipient",
    ),
    HttpRule(
        FailureClass.CONTENT,
        "the request is understood, and refused",
        "RFC 9110 §15.5.1, §15.5.14, §15.5.21",
        ABOUT_THE_REQUEST,
    ),
    HttpRule(
        FailureClass.TRANSIENT,
        "an earlier try under the same Idempotency-Key is still running",
        "draft-ietf-httpapi-idempotency-key-header",
        frozenset({409}),
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "our account: no token, no money, no right",
        "RFC 9110 §15.5.2 to §15.5.4, §15.5.8",
        frozenset({401, 402, 403, 407}),
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "our pace: too slow, too early, too much",
        "RFC 9110 §15.5.9; RFC 8470 §5.2; RFC 6585 §4",
        frozenset({408, 425, 429}),
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "it points elsewhere, and a letter is only given to whom it was meant for",
        "RFC 9110 §15.4",
        range(300, 400),
    ),
    HttpRule(FailureClass.PROVIDER, "the gateway, or what stands behind it", "RFC 9110 §15.6", range(500, 600)),
    HttpRule(
        FailureClass.PROVIDER,
        "anything else: a wrong address or method is our set-up's fault",
        "RFC 9110 §15",
        EVERY_STATUS,
    ),
)


def http_rule_for(status: int, problem: str | None) -> HttpRule:
    """Return the first rule that fits."""
    return next(rule for rule in HTTP_RULES if rule.fits(status, problem))


def from_http_status(status: int, problem: str | None) -> FailureClass:
    """Classify an HTTP status other than 2xx; ``problem`` is the ``code`` of the answer's JSON."""
    return http_rule_for(status, problem).kind


def retry_after_header(value: str | None, now: datetime) -> timedelta | None:
    """Read an HTTP Retry-After, which is seconds or a date (RFC 9110 §10.2.3); nonsense is None."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return timedelta(seconds=min(int(value[:10]), LONGEST_WAIT.total_seconds()))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # A date without a zone is in UTC: HTTP dates always are.
    wait = moment.replace(tzinfo=moment.tzinfo or UTC) - now
    return min(max(wait, timedelta(0)), LONGEST_WAIT)
