"""URLs that SMS gateways call with receipts: ``…/callbacks/twilio/ID.TAG.MAC``.

The MAC authenticates the URL: only the gateway that got it knows it. It covers the gateway's kind, so that a URL works
on no route with weaker checks. The tag is that of ``verp``: a receipt of a former number does not count.
"""

import hmac
import re
from base64 import b32decode, b32encode
from collections.abc import Callable
from enum import StrEnum
from hashlib import blake2b
from uuid import UUID

from shared.reports.verp import BouncedMessage, recipient_tag
from shared.secrets import SecretKeys

PATH = "/callbacks"
_MAC_BYTES = 15
_TOKEN = re.compile(r"([a-z2-7]{26})\.([a-z2-7]{8})\.([a-z2-7]{24})", re.ASCII)


class Gateway(StrEnum):
    """The kinds of gateways that call back."""

    TWILIO = "twilio"
    KANNEL = "kannel"
    JSON = "json"


CallbackUrl = Callable[[Gateway, UUID, str], str]
"""Returns the URL for a kind of gateway, a message and its recipient."""


def callback_url(base: str, gateway: Gateway, message_id: UUID, recipient: str, key: bytes) -> str:
    """Return the URL for receipts of a message. ``recipient`` is its canonical address."""
    named = f"{_base32(message_id.bytes)}.{recipient_tag(recipient, key)}"
    return f"{base}{PATH}/{gateway}/{named}.{_mac(gateway, named, key)}"


def reported_message(token: str, gateway: Gateway, keys: SecretKeys) -> BouncedMessage | None:
    """Return the message that the last part of a URL's path names, or None if no key verifies it for this gateway."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    spelled_id, tag, offered = found.groups()
    macs = [_mac(gateway, f"{spelled_id}.{tag}", key) for key in keys.by_id.values()]
    if not any(hmac.compare_digest(mac, offered) for mac in macs):
        return None
    return BouncedMessage(UUID(bytes=b32decode(f"{spelled_id}======".upper())), tag)


def _mac(gateway: Gateway, named: str, key: bytes) -> str:
    text = f"{gateway}/{named}".encode()
    return _base32(blake2b(text, key=key, digest_size=_MAC_BYTES, person=b"signpost/receipt").digest())


def _base32(octets: bytes) -> str:
    return b32encode(octets).rstrip(b"=").decode().lower()
