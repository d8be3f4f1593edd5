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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from hashlib import blake2b
from uuid import UUID

from shared.addresses import canonical_email
from shared.secrets import SecretKeys

LONGEST_LOCAL_PART = 64
"""Octets (RFC 5321 §4.5.3.1.1)."""
LONGEST_BASE_LOCAL_PART = LONGEST_LOCAL_PART - len("+.." + 32 * "i" + 5 * "t" + 13 * "m")
"""Octets that are left for the local part of BOUNCE_ADDRESS."""
CALLBACKS_PATH = "/callbacks"
_TAG_LETTERS, _BOUNCE_MAC_LETTERS, _CALLBACK_MAC_LETTERS = 5, 13, 24
"""Of five bits each. The id is in hexadecimal: to spell it in base32 takes as long as both hashes."""
_ADDRESS = re.compile(r"\+([0-9a-f]{32}\.[a-z2-7]{5})\.([a-z2-7]{13})@", re.IGNORECASE | re.ASCII)
_TOKEN = re.compile(r"([0-9a-f]{32}\.[a-z2-7]{5})\.([a-z2-7]{24})", re.ASCII)
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567"
_LETTER_OF_OCTET = bytes(_BASE32[octet % 32] for octet in range(256))


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
        """Return the envelope sender of a message to ``recipient``, in any spelling.

        A relay makes one for each mail. Its two hashes are the only thing of BOUNCE_ADDRESS that costs time.
        """
        hashes = self._hashes
        named = f"{message_id.hex}.{hashes.tag(canonical_email(recipient))}"
        return self.base.replace("@", f"+{named}.{hashes.bounce_mac(named)}@")

    @cached_property
    def _hashes(self) -> "_Hashes":
        return _hashes(self.key)


@dataclass(frozen=True)
class BouncedMessage:
    """The message that a report is about, and the tag of the recipient that it went to."""

    message_id: UUID
    recipient_tag: str


def bounced_message(address: str, keys: SecretKeys) -> BouncedMessage | None:
    """Return the message and tag of an envelope sender, or None if no key verifies it.

    Case is ignored, because servers change it.
    """
    found = _ADDRESS.search(address)
    if found is None:
        return None
    named, offered = (part.lower() for part in found.groups())
    return _read(named) if _is_any(offered, (_hashes(key).bounce_mac(named) for key in keys.by_id.values())) else None


def callback_url(base: str, gateway: Gateway, message_id: UUID, recipient: str, key: bytes) -> str:
    """Return the URL for receipts of a message. ``recipient`` is its canonical address."""
    named = f"{message_id.hex}.{recipient_tag(recipient, key)}"
    return f"{base}{CALLBACKS_PATH}/{gateway}/{named}.{_callback_mac(gateway, named, key)}"


def reported_message(token: str, gateway: Gateway, keys: SecretKeys) -> BouncedMessage | None:
    """Return the message that the last part of a URL's path names, or None if no key verifies it for this gateway."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    named, offered = found.groups()
    macs = (_callback_mac(gateway, named, key) for key in keys.by_id.values())
    return _read(named) if _is_any(offered, macs) else None


def recipient_tag(recipient: str, key: bytes) -> str:
    """Return a keyed hash of a canonical address, in five letters."""
    return _hashes(key).tag(recipient)


def _read(named: str) -> BouncedMessage:
    """Return the message and tag of ``ID.TAG``, which a MAC has verified."""
    spelled_id, _, tag = named.partition(".")
    return BouncedMessage(UUID(spelled_id), tag)


def _is_any(offered: str, macs: Iterable[str]) -> bool:
    return any(hmac.compare_digest(mac, offered) for mac in macs)


def _callback_mac(gateway: Gateway, named: str, key: bytes) -> str:
    return _hashes(key).callback_mac(f"{gateway}/{named}")


def _hash(key: bytes, letters: int, purpose: bytes) -> Callable[[str], str]:
    """Return a keyed hash for one purpose, in letters of base32.

    The key is the start of the text, and not BLAKE2's parameter, which is padded to a block of its own (RFC 7693 §3.3).
    Without the padding, it is a MAC as well, since BLAKE2 has no length extension, and takes two thirds of the time.
    """
    keyed = blake2b(key, digest_size=letters, person=purpose)

    def hashed(text: str) -> str:
        # Five bits of each octet: one translation is cheaper than b32encode.
        copy = keyed.copy()
        copy.update(text.encode())
        return copy.digest().translate(_LETTER_OF_OCTET).decode()

    return hashed


class _Hashes:
    """The hashes with one key."""

    def __init__(self, key: bytes) -> None:
        self.tag = _hash(key, _TAG_LETTERS, b"signpost/tag")
        self.bounce_mac = _hash(key, _BOUNCE_MAC_LETTERS, b"signpost/bounce")
        self.callback_mac = _hash(key, _CALLBACK_MAC_LETTERS, b"signpost/receipt")


_hashes = lru_cache(maxsize=16)(_Hashes)
