"""Connections that fail: what became of the letter depends on the phase, what to tell on the error."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from outbox_relay.failures.words import LONGEST_ERROR, printable, retry_after_in
from outbox_relay.model import Failure, FailureClass


@dataclass(frozen=True)
class BreakRule:
    """One row: how operators are told of such an error of the network, and how it is known.

    Its class is the phase's alone: before the hand-over only the provider has failed; after it nobody
    knows whether the provider has the letter, and trying again costs an attempt (RFC 5321 §4.2.5).
    """

    cause: str
    source: str
    fits: Callable[[BaseException], bool]


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kinds)


def _is_unnamed(error: BaseException) -> bool:
    # getaddrinfo's own numbers are below zero, where no errno is.
    return isinstance(error, OSError) and error.errno is not None and error.errno < 0


def _is_ours(error: BaseException) -> bool:
    """Tell whether a channel has raised it and said why; the system's errors have a number, asyncio's no words."""
    is_silent = isinstance(error, TimeoutError) and not str(error)
    return not isinstance(error, ssl.SSLError) and getattr(error, "errno", None) is None and not is_silent


IN_ITS_OWN_WORDS = BreakRule("in the channel's words", "no STARTTLS, no reply in time, 421, closed, garbage", _is_ours)

BREAK_RULES = (
    BreakRule("certificate not trusted", "RFC 7817 §3, RFC 9525", _is(ssl.SSLCertVerificationError)),
    BreakRule("TLS failed", "RFC 3207 §4.1, RFC 8446 §6.2", _is(ssl.SSLError)),
    IN_ITS_OWN_WORDS,
    BreakRule("no such host", "RFC 5321 §5.1, getaddrinfo(3)", _is_unnamed),
    BreakRule("connection refused", "RFC 9293 §3.10.7.3, connect(2) ECONNREFUSED", _is(ConnectionRefusedError)),
    BreakRule(
        "connection broken",
        "RFC 9293 §3.10.7.4, ECONNRESET, ECONNABORTED, EPIPE",
        _is(ConnectionResetError, ConnectionAbortedError, BrokenPipeError),
    ),
    BreakRule("no answer in time", "RFC 5321 §4.5.3.2, connect(2) ETIMEDOUT", _is(TimeoutError)),
    BreakRule("network failed", "connect(2) ENETUNREACH, EHOSTUNREACH and the rest of errno(3)", _is(BaseException)),
)


def break_rule_for(error: BaseException) -> BreakRule:
    """Return the first rule that fits."""
    return next(rule for rule in BREAK_RULES if rule.fits(error))


def from_break(*, maybe_accepted: bool) -> FailureClass:
    """Classify a break by its phase."""
    return FailureClass.TRANSIENT if maybe_accepted else FailureClass.PROVIDER


def broken_off(provider: str, error: BaseException, *, maybe_accepted: bool) -> Failure:
    """Say what a connection that failed means for a letter in hand."""
    text = _told(error)
    return Failure(
        from_break(maybe_accepted=maybe_accepted),
        provider,
        text[:LONGEST_ERROR],
        retry_after_in(text),
        maybe_accepted,
    )


def beneath(error: BaseException) -> BaseException:
    """Return the system's error that a library has raised this one from, if any: its kind says what has failed."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and (found.errno is not None or isinstance(found, TimeoutError)):
            return found
        of_several = found.exceptions if isinstance(found, BaseExceptionGroup) else ()  # a host's addresses
        found = of_several[0] if of_several else found.__cause__ or found.__context__
    return error


def _told(error: BaseException) -> str:
    text, rule = printable(str(error)), break_rule_for(error)
    if rule is IN_ITS_OWN_WORDS:
        return text or type(error).__name__
    return f"{rule.cause}: {text}" if text else rule.cause
