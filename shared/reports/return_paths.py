"""Where reports return to: envelope senders and callback URLs that name their message.

- ``bounces+ID.TAG.MAC@example.org``: a bounce returns to the envelope sender, independent of the text that the bouncing
  server writes (variable envelope return paths, VERP).
- ``…/callbacks/twilio/ID.TAG.MAC``: an SMS gateway calls this URL with receipts.

The tag is a keyed hash of the recipient, so that a report about a former recipient does not count against the present
one. The MAC covers both. It authenticates a callback: only the gateway that got the URL knows it. A URL's MAC also
covers the kind of gateway, so that the URL works on no route with weaker checks.
"""

import hmac
import re
from base64 import b32decode, b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from shared.addresses import canonical_address
from shared.secrets import SecretKeys

LONGEST_LOCAL_PART = 64
"""Octets (RFC 5321 §4.5.3.1.1)."""
LONGEST_BASE_LOCAL_PART = LONGEST_LOCAL_PART - len("+.." + 26 * "i" + 8 * "t" + 16 * "m")
"""Octets that are left for the local part of BOUNCE_ADDRESS."""
CALLBACKS_PATH = "/callbacks"
_TAG_BYTES, _BOUNCE_MAC_BYTES, _CALLBACK_MAC_BYTES = 5, 10, 15
_ADDRESS = re.compile(r"\+([a-z2-7]{26})\.([a-z2-7]{8})\.([a-z2-7]{16})@", re.IGNORECASE | re.ASCII)
_TOKEN = re.compile(r"([a-z2-7]{26})\.([a-z2-7]{8})\.([a-z2-7]{24})", re.ASCII)


class Gateway(StrEnum):
    """The kinds of gateways that call back."""

    TWILIO = "twilio"
    KANNEL = "kannel"
    JSON = "json"


CallbackUrl = Callable[[Gateway, UUID, str], str]
"""Returns the URL for a kind of gateway, a message and its recipient."""


@dataclass(frozen=True)
class BounceAddress:
    """The address that bounces go to, with the newest of FEEDBACK_KEYS."""

    base: str
    key: bytes = field(repr=False)

    def sender_of(self, message_id: UUID, recipient: str) -> str:
        """Return the envelope sender of a message to ``recipient``, in any spelling."""
        return envelope_sender(self.base, message_id, canonical_address(recipient), self.key)


@dataclass(frozen=True)
class BouncedMessage:
    """The message that a report is about, and the tag of the recipient that it went to."""

    message_id: UUID
    recipient_tag: str


def envelope_sender(base: str, message_id: UUID, recipient: str, key: bytes) -> str:
    """Return the envelope sender of a message. ``recipient`` is its canonical address."""
    local, _, domain = base.rpartition("@")
    tag = _tag(recipient, key)
    # One call for all three, because it is most of the work. The zeros fill the id up to whole characters.
    spelled = _base32(message_id.bytes + bytes(4) + tag + _bounce_mac(message_id.bytes, tag, key))
    return f"{local}+{spelled[:26]}.{spelled[32:40]}.{spelled[40:]}@{domain}"


def bounced_message(address: str, keys: SecretKeys) -> BouncedMessage | None:
    """Return the message and tag of an envelope sender, or None if no key verifies it.

    Case is ignored, because servers change it.
    """
    found = _ADDRESS.search(address)
    if found is None:
        return None
    spelled_id, tag, mac = (part.upper() for part in found.groups())
    message_id, tag_bytes, offered = b32decode(f"{spelled_id}======"), b32decode(tag), b32decode(mac)
    if not any(hmac.compare_digest(_bounce_mac(message_id, tag_bytes, key), offered) for key in keys.by_id.values()):
        return None
    return BouncedMessage(UUID(bytes=message_id), tag.lower())


def callback_url(base: str, gateway: Gateway, message_id: UUID, recipient: str, key: bytes) -> str:
    """Return the URL for receipts of a message. ``recipient`` is its canonical address."""
    named = f"{_base32(message_id.bytes)}.{recipient_tag(recipient, key)}"
    return f"{base}{CALLBACKS_PATH}/{gateway}/{named}.{_callback_mac(gateway, named, key)}"


def reported_message(token: str, gateway: Gateway, keys: SecretKeys) -> BouncedMessage | None:
    """Return the message that the last part of a URL's path names, or None if no key verifies it for this gateway."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    spelled_id, tag, offered = found.groups()
    macs = [_callback_mac(gateway, f"{spelled_id}.{tag}", key) for key in keys.by_id.values()]
    if not any(hmac.compare_digest(mac, offered) for mac in macs):
        return None
    return BouncedMessage(UUID(bytes=b32decode(f"{spelled_id}======".upper())), tag)


def recipient_tag(recipient: str, key: bytes) -> str:
    """Return a keyed hash of a canonical address, in eight characters."""
    return _base32(_tag(recipient, key))


def _tag(recipient: str, key: bytes) -> bytes:
    return _digest(_keyed(key, _TAG_BYTES, b"signpost/tag"), recipient.encode())


def _bounce_mac(message_id: bytes, tag: bytes, key: bytes) -> bytes:
    return _digest(_keyed(key, _BOUNCE_MAC_BYTES, b"signpost/bounce"), message_id + tag)


def _callback_mac(gateway: Gateway, named: str, key: bytes) -> str:
    text = f"{gateway}/{named}".encode()
    return _base32(blake2b(text, key=key, digest_size=_CALLBACK_MAC_BYTES, person=b"signpost/receipt").digest())


@lru_cache(maxsize=16)
def _keyed(key: bytes, size: int, person: bytes) -> blake2b:
    """Return a hash that has taken the key already. A relay makes two hashes for each mail, and copies are cheaper."""
    return blake2b(key=key, digest_size=size, person=person)


def _digest(keyed: blake2b, octets: bytes) -> bytes:
    copy = keyed.copy()
    copy.update(octets)
    return copy.digest()


def _base32(octets: bytes) -> str:
    return b32encode(octets).rstrip(b"=").decode().lower()
