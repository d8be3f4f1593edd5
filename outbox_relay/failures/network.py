"""Failed connections, and the error texts that operators see.

The failure class depends only on whether the message was already submitted. The error itself only determines the text
for operators.
"""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from outbox_relay.model import Failure, FailureClass
from shared.texts import printable

LONGEST_WAIT = timedelta(days=1)
"""The longest wait that a provider may ask for. A longer one is taken for a mistake."""

LONGEST_ERROR = 500
"""Characters of a provider's text that are stored for operators."""

_SECONDS_PER = {"s": 1, "m": 60, "h": 3600}
_WAIT = re.compile(
    r"(?:try|retry|again|wait|come back|greylist\w*|graylist\w*)\b[^.\n]{0,40}?"
    r"\b(\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b",
    re.IGNORECASE | re.ASCII,  # without re.ASCII, U+017F (long s) would match the unit "s"
)


class FailureCategory(StrEnum):
    """The kind of action that a provider's failure needs from operators.

    ``CERTIFICATE``, ``CREDENTIALS`` and ``TOKEN`` need an operator. ``OTHER`` is mostly temporary.
    """

    CERTIFICATE = "certificate"
    CREDENTIALS = "credentials"
    TOKEN = "token"  # noqa: S105 - a word
    OTHER = "other"


# SMTP: RFC 4954 §6. HTTP: RFC 9110 §15.5.2 to §15.5.4, §15.5.8. SMPP 3.4 §5.1.3: RBINDFAIL, RINVPASWD, RINVSYSID.
_CERTIFICATE = re.compile(
    r"(?:token request failed: )?(?:certificate not trusted|TLS failed)|the server does not offer STARTTLS"
)
_TOKEN = re.compile(r"token refused")
_CREDENTIALS = re.compile(
    r"AUTH: [45]|[A-Za-z]+: (?:432|530|534|535|538)\b|HTTP (?:401|402|403|407)\b"
    r"|the server does not offer AUTH|.*\bESME_R(?:BINDFAIL|INVPASWD|INVSYSID)\b"
)
_CATEGORIES = (
    (_CERTIFICATE, FailureCategory.CERTIFICATE),
    (_CREDENTIALS, FailureCategory.CREDENTIALS),
    (_TOKEN, FailureCategory.TOKEN),
)


def category_of(error: str) -> FailureCategory:
    """Return the category of a provider failure from its error text."""
    for pattern, category in _CATEGORIES:
        if pattern.match(error):
            return category
    return FailureCategory.OTHER


@dataclass(frozen=True)
class NetworkRule:
    """One row of the table: how an error is recognised and described to operators."""

    cause: str
    source: str
    matches: Callable[[BaseException], bool]


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kinds)


def _is_resolver_error(error: BaseException) -> bool:
    # getaddrinfo's numbers are negative; an errno never is.
    return isinstance(error, OSError) and error.errno is not None and error.errno < 0


def _is_from_channel(error: BaseException) -> bool:
    """Return whether a channel raised the error with its own text.

    Errors of the operating system have a number, and asyncio's timeouts have no text.
    """
    is_silent = isinstance(error, TimeoutError) and not str(error)
    return not isinstance(error, ssl.SSLError) and getattr(error, "errno", None) is None and not is_silent


CHANNEL_ERROR = NetworkRule(
    "the channel's own text", "no STARTTLS, no reply in time, 421, closed, protocol error", _is_from_channel
)

NETWORK_RULES = (
    NetworkRule("certificate not trusted", "RFC 7817 §3, RFC 9525", _is(ssl.SSLCertVerificationError)),
    NetworkRule("TLS failed", "RFC 3207 §4.1, RFC 8446 §6.2", _is(ssl.SSLError)),
    CHANNEL_ERROR,
    NetworkRule("no such host", "RFC 5321 §5.1, getaddrinfo(3)", _is_resolver_error),
    NetworkRule("connection refused", "RFC 9293 §3.10.7.3, connect(2) ECONNREFUSED", _is(ConnectionRefusedError)),
    NetworkRule(
        "connection broken",
        "RFC 9293 §3.10.7.4, ECONNRESET, ECONNABORTED, EPIPE",
        _is(ConnectionResetError, ConnectionAbortedError, BrokenPipeError),
    ),
    NetworkRule("no response in time", "RFC 5321 §4.5.3.2, connect(2) ETIMEDOUT", _is(TimeoutError)),
    NetworkRule("network failed", "connect(2) ENETUNREACH, EHOSTUNREACH and the rest of errno(3)", _is(BaseException)),
)


def network_rule_for(error: BaseException) -> NetworkRule:
    """Return the first rule that matches."""
    return next(rule for rule in NETWORK_RULES if rule.matches(error))


def from_phase(*, maybe_accepted: bool) -> FailureClass:
    """Classify a connection failure by its phase.

    Before the message was submitted, only the provider has failed. After that, the provider may have accepted the
    message, so the failure costs an attempt (RFC 5321 §4.2.5).
    """
    return FailureClass.TRANSIENT if maybe_accepted else FailureClass.PROVIDER


def connection_failure(provider: str, error: BaseException, *, maybe_accepted: bool) -> Failure:
    """Return a failed connection as the failure of a message in delivery."""
    text = _error_text(error)
    return Failure(
        from_phase(maybe_accepted=maybe_accepted),
        provider,
        text[:LONGEST_ERROR],
        retry_after_in(text),
        maybe_accepted,
    )


def root_cause(error: BaseException) -> BaseException:
    """Return the operating system's error beneath a library's error; without one, the error itself."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and (found.errno is not None or isinstance(found, TimeoutError)):
            return found
        of_several = found.exceptions if isinstance(found, BaseExceptionGroup) else ()  # one per address of the host
        found = of_several[0] if of_several else found.__cause__ or found.__context__
    return error


def _error_text(error: BaseException) -> str:
    text, rule = printable(str(error)), network_rule_for(error)
    if rule is CHANNEL_ERROR:
        return text or type(error).__name__
    return f"{rule.cause}: {text}" if text else rule.cause


def retry_after_in(text: str) -> timedelta | None:
    """Find a hint such as ``try again in 5 minutes``, as greylisting servers send it."""
    found = _WAIT.search(text)
    if found is None:
        return None
    return min(timedelta(seconds=int(found[1]) * _SECONDS_PER[found[2][0].lower()]), LONGEST_WAIT)
