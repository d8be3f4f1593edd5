"""Envelope senders that name their message: ``bounces+ID.TAG.MAC@example.org`` (variable envelope return paths, VERP).

A bounce returns to the envelope sender, whatever the bouncing server writes into it. The tag is a keyed hash of the
recipient, so that a bounce of a former recipient does not count against the present one. The MAC covers both.
"""

import hmac
import re
from base64 import b32decode, b32encode
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from shared.secrets import SecretKeys

LONGEST_LOCAL_PART = 64
"""Octets (RFC 5321 §4.5.3.1.1)."""
_TAG_BYTES, _MAC_BYTES = 5, 10
_ADDRESS = re.compile(r"\+([a-z2-7]{26})\.([a-z2-7]{8})\.([a-z2-7]{16})@", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class BouncedMessage:
    """The message that a bounce is about, and the tag of the recipient that it went to."""

    message_id: UUID
    recipient_tag: str


def envelope_sender(base: str, message_id: UUID, recipient: str, key: bytes) -> str:
    """Return the envelope sender of a message. ``recipient`` is its canonical address."""
    local, _, domain = base.rpartition("@")
    spelled_id, tag = _base32(message_id.bytes), recipient_tag(recipient, key)
    return f"{local}+{spelled_id}.{tag}.{_mac(spelled_id, tag, key)}@{domain}"


def bounced_message(address: str, keys: SecretKeys) -> BouncedMessage | None:
    """Return what an envelope sender names, or None if no key verifies it. Case is ignored: servers change it."""
    found = _ADDRESS.search(address)
    if found is None:
        return None
    spelled_id, tag, offered = (part.lower() for part in found.groups())
    if not any(hmac.compare_digest(_mac(spelled_id, tag, key), offered) for key in keys.by_id.values()):
        return None
    return BouncedMessage(UUID(bytes=b32decode(f"{spelled_id}======".upper())), tag)


def recipient_tag(recipient: str, key: bytes) -> str:
    """Return a keyed hash of a canonical address, in eight characters."""
    return _base32(blake2b(recipient.encode(), key=key, digest_size=_TAG_BYTES, person=b"signpost/tag").digest())


def _mac(spelled_id: str, tag: str, key: bytes) -> str:
    text = f"{spelled_id}.{tag}".encode()
    return _base32(blake2b(text, key=key, digest_size=_MAC_BYTES, person=b"signpost/bounce").digest())


def _base32(octets: bytes) -> str:
    return b32encode(octets).rstrip(b"=").decode().lower()
