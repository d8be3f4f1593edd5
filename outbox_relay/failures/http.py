"""Classify HTTP statuses other than 2xx (RFC 9110 §15), and read Retry-After."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from outbox_relay.failures.network import LONGEST_WAIT
from outbox_relay.model import FailureClass

ALL_STATUSES = range(1000)


@dataclass(frozen=True)
class HttpRule:
    """One row of a table: which responses have which class.

    ``code`` and ``text`` are regular expressions: for the whole code that the API gives in its body, and for a part of
    its text. ``is_about_message``: see ``model.Failure``.
    """

    kind: FailureClass
    meaning: str
    source: str
    statuses: Container[int] = ALL_STATUSES
    code: str = r".*"
    text: str = r""
    is_about_message: bool = False

    def matches(self, status: int, code: str, text: str = "") -> bool:
        """Return whether the rule applies to a response."""
        return (
            status in self.statuses
            and re.fullmatch(self.code, code, re.DOTALL) is not None
            and re.search(self.text, text, re.IGNORECASE) is not None
        )


REQUEST_STATUSES = frozenset({400, 413, 422})

HTTP_RULES = (
    HttpRule(
        FailureClass.RECIPIENT,
        "the gateway refuses the recipient",
        "RFC 9110 §15.5.1, §15.5.14, §15.5.21; the gateway's `code` is `invalid_recipient`",
        REQUEST_STATUSES,
        "invalid_recipient",
    ),
    HttpRule(
        FailureClass.CONTENT,
        "the gateway refuses the request",
        "RFC 9110 §15.5.1, §15.5.14, §15.5.21",
        REQUEST_STATUSES,
    ),
    HttpRule(
        FailureClass.TRANSIENT,
        "an earlier request with the same Idempotency-Key is still running",
        "draft-ietf-httpapi-idempotency-key-header",
        frozenset({409}),
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "our account: token, balance or permission",
        "RFC 9110 §15.5.2 to §15.5.4, §15.5.8",
        frozenset({401, 402, 403, 407}),
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "our sending rate, or the gateway's load",
        "RFC 9110 §15.5.9; RFC 8470 §5.2; RFC 6585 §4",
        frozenset({408, 425, 429}),
    ),
    HttpRule(
        FailureClass.PROVIDER,
        "a redirect: the relay sends messages to the configured URL only",
        "RFC 9110 §15.4",
        range(300, 400),
    ),
    HttpRule(FailureClass.PROVIDER, "the gateway, or a server behind it", "RFC 9110 §15.6", range(500, 600)),
    HttpRule(
        FailureClass.PROVIDER,
        "anything else: a wrong URL or method is a configuration error",
        "RFC 9110 §15",
        ALL_STATUSES,
    ),
)


API_RULES = (
    HttpRule(FailureClass.PROVIDER, "the key is wrong, or lacks the right to send", "RFC 9110 §15.5.2", {401}),
    HttpRule(FailureClass.PROVIDER, "the account has no credit", "RFC 9110 §15.5.3", {402}),
    HttpRule(FailureClass.PROVIDER, "the account or the key may not do this", "RFC 9110 §15.5.4", {403}),
    HttpRule(
        FailureClass.PROVIDER, "the URL is wrong: check host and endpoint", "RFC 9110 §15.5.5, §15.5.6", {404, 405}
    ),
    HttpRule(FailureClass.PROVIDER, "the proxy wants a login", "RFC 9110 §15.5.8", {407}),
    HttpRule(
        FailureClass.PROVIDER, "too many requests", "RFC 9110 §15.5.9; RFC 8470 §5.2; RFC 6585 §4", {408, 425, 429}
    ),
    HttpRule(FailureClass.CONTENT, "the message is too large", "RFC 9110 §15.5.14", {413}),
    HttpRule(
        FailureClass.PROVIDER,
        "a redirect: the relay sends messages to the configured URL only",
        "RFC 9110 §15.4",
        range(300, 400),
    ),
    HttpRule(FailureClass.PROVIDER, "the provider's servers are down", "RFC 9110 §15.6", {502, 503, 504}),
    HttpRule(FailureClass.PROVIDER, "the provider's fault", "RFC 9110 §15.6", range(500, 600), is_about_message=True),
    HttpRule(
        FailureClass.PROVIDER,
        "a refusal that is in no table",
        "no documentation: an unknown refusal must not kill a message",
        is_about_message=True,
    ),
)
"""The last rows of each e-mail API's table."""


def http_rule_for(status: int, code: str, text: str = "", rules: Sequence[HttpRule] = HTTP_RULES) -> HttpRule:
    """Return the first rule that matches. The last one always does."""
    return next(rule for rule in rules if rule.matches(status, code, text))


def from_http_status(status: int, code: str) -> FailureClass:
    """Classify an HTTP status other than 2xx; ``code`` is the one in the JSON body, or empty."""
    return http_rule_for(status, code).kind


def retry_after_header(value: str | None, now: datetime) -> timedelta | None:
    """Read a Retry-After header: seconds or a date (RFC 9110 §10.2.3). Return None if it is neither."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return timedelta(seconds=min(int(value[:10]), LONGEST_WAIT.total_seconds()))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # HTTP dates are in UTC, so a date without a zone is taken as UTC.
    wait = moment.replace(tzinfo=moment.tzinfo or UTC) - now
    return min(max(wait, timedelta(0)), LONGEST_WAIT)
