"""What a provider's answer says about whose fault it was; tables and patterns, no IO.

SMTP: RFC 5321 §4.2 for the codes, RFC 3463 for the enhanced ones, RFC 4954 §6 and RFC 7372 for those
about authentication. What is our own set-up's fault must never kill a message, so whatever is not
plainly about the recipient or the content is the provider's.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from outbox_relay.outcomes import Failure, FailureClass

LONGEST_WAIT = timedelta(days=1)
"""The most that a provider may ask us to wait; more is taken for a mistake of its."""

LONGEST_ERROR = 500
"""Characters of a provider's words that are kept for operators."""


class SmtpCommand(StrEnum):
    """What a reply was the answer to. ``CONTENT`` is the final dot."""

    CONNECT = "connect"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"
    RSET = "RSET"


AT_RCPT = frozenset({SmtpCommand.RCPT})
AT_DATA = frozenset({SmtpCommand.DATA, SmtpCommand.CONTENT})
ABOUT_ONE_LETTER = AT_RCPT | AT_DATA

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")

# Servers put off what they hold against a client or a sender until RCPT (Postfix: smtpd_delay_reject).
# Each phrase has a space inside, so that no recipient's address quoted in the reply can imitate it.
_ABOUT_US = re.compile(
    r"relay access denied|relaying (?:is )?(?:denied|not)|(?:unable|not permitted|not allowed) to relay"
    r"|sender address rejected|sender verify failed|client host (?:rejected|\[)|helo command rejected"
    r"|authentication (?:is )?required|(?:address|domain|identity) (?:is )?not verified",
    re.IGNORECASE,
)
_OUR_STANDING = re.compile(r"[45]\.(?:1\.[78]|7\.(?:[89]|1[14]|2\d))")
"""Bad sender (RFC 3463), credentials (RFC 4954 §6), SPF, DKIM and reverse DNS (RFC 7372)."""


@dataclass(frozen=True)
class _Rule:
    kind: FailureClass
    codes: Container[int] = range(1000)
    commands: frozenset[SmtpCommand] = ABOUT_ONE_LETTER
    enhanced: re.Pattern[str] = re.compile(r".*")
    text: re.Pattern[str] = re.compile(r"")

    def fits(self, command: SmtpCommand, code: int, text: str) -> bool:
        enhanced = _ENHANCED.match(text)
        return (
            command in self.commands
            and code in self.codes
            and self.enhanced.fullmatch(enhanced[0] if enhanced else "") is not None
            and self.text.search(text) is not None
        )


_SMTP_RULES = (
    _Rule(FailureClass.PROVIDER, codes={421}),  # RFC 5321 §3.8: it is closing, whatever was asked
    _Rule(FailureClass.PROVIDER, codes={530, 534, 535, 538}),  # RFC 4954 §6
    _Rule(FailureClass.PROVIDER, enhanced=_OUR_STANDING),
    _Rule(FailureClass.RECIPIENT, codes=range(500, 600), enhanced=re.compile(r"5\.1\.\d+|5\.2\.1")),
    _Rule(FailureClass.PROVIDER, text=_ABOUT_US),
    _Rule(FailureClass.PROVIDER, enhanced=re.compile(r"4\.3\.[01235]")),  # RFC 3463 §3.4: the system, not the letter
    _Rule(FailureClass.TRANSIENT, codes=range(400, 500)),
    # A full mailbox empties. RFC 5321 §4.5.3.1.10: 552 at RCPT is to be read as 452.
    _Rule(FailureClass.TRANSIENT, enhanced=re.compile(r"5\.2\.2")),
    _Rule(FailureClass.TRANSIENT, codes={552}, commands=AT_RCPT),
    # 556: RFC 7504, the domain takes no mail. 501 is a broken address here: the command itself is ours.
    _Rule(FailureClass.RECIPIENT, codes={501, 550, 551, 553, 554, 556}, commands=AT_RCPT),
    _Rule(FailureClass.CONTENT, codes={550, 551, 552, 553, 554}, commands=AT_DATA),
)


def from_smtp_reply(command: SmtpCommand, code: int, text: str) -> FailureClass:
    """Classify a reply that did not say yes: the first rule that fits, or else the provider's fault.

    So is all that is refused before RCPT: it concerns us or the server, and not one letter.
    """
    return next((rule.kind for rule in _SMTP_RULES if rule.fits(command, code, text)), FailureClass.PROVIDER)


def from_http_status(status: int, problem: str | None) -> FailureClass:
    """Classify an HTTP status other than 2xx; ``problem`` is the ``code`` of the answer's JSON.

    RFC 9110 §15. Redirects, too, are the provider's fault: a letter is only given to whom it was meant for.
    """
    match status:
        case 400 | 413 | 422 if problem == "invalid_recipient":
            return FailureClass.RECIPIENT
        case 400 | 413 | 422:
            return FailureClass.CONTENT
        case 409:  # an earlier try under the same idempotency key is still running
            return FailureClass.TRANSIENT
        case _:
            return FailureClass.PROVIDER


_SECONDS_PER = {"s": 1, "m": 60, "h": 3600}
_WAIT = re.compile(
    r"(?:try|retry|again|wait|come back|greylist\w*|graylist\w*)\b[^.\n]{0,40}?"
    r"\b(\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b",
    re.IGNORECASE,
)


def retry_after_in(text: str) -> timedelta | None:
    """Find a hint such as ``try again in 5 minutes``, which greylisting servers give."""
    found = _WAIT.search(text)
    if found is None:
        return None
    return min(timedelta(seconds=int(found[1]) * _SECONDS_PER[found[2][0].lower()]), LONGEST_WAIT)


def retry_after_header(value: str | None, now: datetime) -> timedelta | None:
    """Read an HTTP Retry-After, which is seconds or a date (RFC 9110 §10.2.3); nonsense is None."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return timedelta(seconds=min(int(value[:10]), LONGEST_WAIT.total_seconds()))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    # A date without a zone is in UTC: HTTP dates always are.
    wait = moment.replace(tzinfo=moment.tzinfo or UTC) - now
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def broken_off(provider: str, error: BaseException, *, is_handed_over: bool) -> Failure:
    """Say what a connection that failed means for a letter in hand.

    Once handed over, nobody knows whether the provider has the letter, and trying again costs an
    attempt; before that, it is only the provider that failed.
    """
    text = printable(str(error)) or type(error).__name__
    kind = FailureClass.TRANSIENT if is_handed_over else FailureClass.PROVIDER
    return Failure(kind, provider, text[:LONGEST_ERROR], retry_after_in(text), is_handed_over)


def printable(text: str) -> str:
    """Replace what cannot be printed by spaces: line ends, and NUL and surrogates, which no database takes."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text).strip()
