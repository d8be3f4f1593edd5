"""Twilio's status callbacks.

Sources: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status,
https://www.twilio.com/docs/usage/security (signatures) and https://www.twilio.com/docs/api/errors.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from shared.reports.receipts import (
    DELIVERED,
    FAILED,
    FAILED_FOR_NOW,
    REFUSED_BY_POLICY,
    REFUSED_CONTENT,
    REFUSED_NUMBER,
    Verdict,
)
from shared.urls import host_and_port

SIGNATURE = "X-Twilio-Signature"
MESSAGE_ID = "MessageSid"
STATUS = "MessageStatus"
ERROR_CODE = "ErrorCode"

_PORTS = {"http": 80, "https": 443}
_DELIVERED = frozenset({"delivered", "read"})
_FAILED = frozenset({"undelivered", "failed"})

# Twilio adds codes over time. Any other code is a failure without a known cause, which counts against no number.
_ERRORS: Mapping[str, Verdict] = {
    **dict.fromkeys(("21211", "21217", "21265", "21610", "21614", "21635"), REFUSED_NUMBER),
    "30003": FAILED_FOR_NOW,  # handset switched off or out of reach
    "30004": REFUSED_NUMBER,  # blocked: the number cannot receive messages
    "30005": REFUSED_NUMBER,  # unknown destination
    "30006": REFUSED_NUMBER,  # landline or unreachable carrier
    "30007": REFUSED_CONTENT,  # filtered as spam
    "30008": FAILED_FOR_NOW,  # unknown error
    "30001": FAILED_FOR_NOW,  # queue overflow
    "30010": FAILED,  # price over the limit
    "30017": FAILED_FOR_NOW,  # network of the carrier congested
    "30036": FAILED_FOR_NOW,  # not delivered within its validity period
    **dict.fromkeys(
        (
            "30002",  # account suspended
            "30018",  # the destination requires a registered sender
            "30023",  # the carrier's daily limit
            "30024",  # the sender is not provisioned at the carrier
            "30032",  # toll-free number not verified
            "30034",  # unregistered number (A2P 10DLC)
            "30035",  # sender misconfigured
            "30038",  # one-time codes are not allowed here
            "30039",  # the content loops
            "30450",  # blocked by SMS pumping protection
            "30453",  # likewise
        ),
        REFUSED_BY_POLICY,
    ),
}


def verdict_of(status: str, error_code: str | None) -> Verdict | None:
    """Return the meaning of a status and its code, or None for a status on the way, such as ``sent``."""
    if status in _DELIVERED:
        return DELIVERED
    if status in _FAILED:
        return _ERRORS.get(error_code or "", FAILED)
    return None


def is_signed(url: str, form: Iterable[tuple[str, str]], offered: str, auth_tokens: Sequence[str]) -> bool:
    """Return whether one of the tokens has signed the request: HMAC-SHA1 of the URL and the sorted fields, in Base64.

    Twilio's own libraries also try the URL with and without its port, because Twilio does not always sign the same.
    """
    fields = "".join(f"{name}{value}" for name, value in sorted(set(form)))
    signed = {
        b64encode(hmac.digest(token.encode(), f"{each}{fields}".encode(), "sha1"))
        for token in auth_tokens
        for each in _spellings(url)
    }
    return any(hmac.compare_digest(each, offered.encode()) for each in signed)


def _spellings(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    with_port = parts._replace(netloc=host_and_port(host, parts.port or _PORTS[parts.scheme]))
    return url, with_port.geturl(), parts._replace(netloc=host_and_port(host, None)).geturl()
