"""The common parts of providers' checks: the request, its age, and credentials in the webhook's URL."""

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.callbacks.problems import StaleSignatureError, WrongSignatureError

LONGEST_AGE_SECONDS = 300
"""The tolerance of Svix and Standard Webhooks, in both directions."""
_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True)
class Received:
    """A request, and the time in seconds since 1970. The names of its headers are in lower case."""

    body: bytes
    headers: Mapping[str, str]
    at: float

    def header(self, name: str) -> str:
        """Return a header, or an empty text."""
        return self.headers.get(name, "")


def seconds_in(timestamp: str) -> int:
    """Return the seconds since 1970 in a header or field. Raises StaleSignatureError.

    Only digits: with ``e0`` at the end, the beginning of what follows in the signed text could become part of it.
    """
    if not _SECONDS.fullmatch(timestamp):
        raise StaleSignatureError
    return int(timestamp)


def check_age(signed_at: float, now: float, longest_seconds: float = LONGEST_AGE_SECONDS) -> None:
    """Raise StaleSignatureError if the signed time is too long ago, or too far in the future."""
    if not -LONGEST_AGE_SECONDS <= now - signed_at <= longest_seconds:
        raise StaleSignatureError


def check_credentials(request: Received, credentials: Sequence[str]) -> None:
    """Raise WrongSignatureError if the request has none of these pairs ``user:password`` (RFC 7617)."""
    scheme, _, offered = request.header("authorization").partition(" ")
    pairs = [b64encode(pair.encode()) for pair in credentials]
    is_right = [hmac.compare_digest(pair, offered.strip().encode()) for pair in pairs]
    if scheme.lower() != "basic" or not any(is_right):
        raise WrongSignatureError
