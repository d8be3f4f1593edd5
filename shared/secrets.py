"""Codes and links are derived from a token's id when they are needed, and never stored.

The API derives to check, the relay derives to render; what both know is SECRET_KEYS. Each token
names the key it was made under, so that keys can be rotated while messages wait.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode
from itsdangerous.signer import SigningAlgorithm

CODE_DIGITS = 6
SHORTEST_KEY_BYTES, LONGEST_KEY_BYTES = 32, 64
"""As long as the MAC at least, so as not to weaken it; BLAKE2b takes no longer ones (RFC 7693 §2.1)."""

_MAC_BYTES = 32

_CODE_LABEL = b"signpost/code/1:"
_LINK_LABEL = b"signpost/link/1"
_NUMBER_LABEL = b"signpost/number/1:"
_ADDRESS_LABEL = b"signpost/address/1:"
_SIGNING_LABEL = b"signpost/access-token/1"
_REQUEST_LABEL = b"signpost/request/1:"
_TENANT_LABEL = b"signpost/tenant/1:"


class UnknownKeyError(LookupError):
    """A token names a key that SECRET_KEYS no longer holds."""


@dataclass(frozen=True)
class SecretKeys:
    """The server's keys by id, newest first: the first derives new tokens, all of them verify."""

    by_id: Mapping[str, bytes] = field(repr=False)

    @property
    def newest_id(self) -> str:
        """The id under which new tokens are made."""
        return next(iter(self.by_id))

    def __getitem__(self, key_id: str) -> bytes:
        """Return the key of that id; raises UnknownKeyError."""
        try:
            return self.by_id[key_id]
        except KeyError:
            raise UnknownKeyError(f"SECRET_KEYS has no key {key_id!r}") from None


def code_for(token_id: UUID, key: bytes) -> str:
    """Derive the token's six digits: a MAC of its id, truncated as RFC 4226 §5.3 does."""
    digest = _mac(key, _CODE_LABEL + token_id.bytes)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**CODE_DIGITS).zfill(CODE_DIGITS)


def is_code_of(token_id: UUID, key: bytes, offered: str) -> bool:
    """Compare an offered code with the token's own, in constant time."""
    return hmac.compare_digest(code_for(token_id, key).encode(), offered.encode())


def link_token_for(token_id: UUID, key: bytes) -> str:
    """Derive what a link carries: the token's id and a signature of it, safe in a URL.

    What ``_signer`` would write, and reads, without the care that it takes of texts by others.
    """
    spelled_id = _spelled(token_id.bytes)
    return (spelled_id + b"." + _spelled(_mac(_link_key(key), spelled_id))).decode()


def token_id_of_link(link_token: str, keys: SecretKeys) -> UUID | None:
    """Return the id that one of our keys has signed, or None for anything else."""
    for key in keys.by_id.values():
        try:
            token_id = UUID(bytes=base64_decode(_signer(key).unsign(link_token.encode())))
        except (BadSignature, ValueError):
            continue
        # Base64 has other spellings of the same bytes: with padding, or with other bits at its end.
        return token_id if link_token == link_token_for(token_id, key) else None
    return None


def number_hash(number: str, key: bytes) -> str:
    """Return what stands for a phone number where it is only counted: there are too few for a hash without a key."""
    return _mac(key, _NUMBER_LABEL + number.encode()).hex()[:32]


def address_id(canonical: str, key: bytes) -> UUID:
    """Return what stands for an address where it is only looked up or counted, whether or not anybody has it.

    Without the key no list of addresses leads back from it.
    """
    return UUID(bytes=_mac(key, _ADDRESS_LABEL + canonical.encode())[:16])


def signing_seed(key: bytes) -> bytes:
    """Derive the 32 bytes that the Ed25519 key of access tokens is made of (RFC 8032 §5.1.5)."""
    return _mac(key, _SIGNING_LABEL)


def request_mac(request: bytes, key: bytes) -> bytes:
    """Return what a whole request is recognised by; without the key no password in it can be guessed from that."""
    return _mac(key, _REQUEST_LABEL + request)


def tenant_password(organization_id: UUID, key: bytes) -> str:
    """Derive what an organization's own role logs in to its database with."""
    return _spelled(_mac(key, _TENANT_LABEL + organization_id.bytes)).decode()


class _KeyedAlgorithm(SigningAlgorithm):
    """The same MAC for itsdangerous."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        """Return the MAC of the value."""
        return _mac(key, value)


@lru_cache(maxsize=16)
def _signer(key: bytes) -> Signer:
    return Signer(_link_key(key), salt=_LINK_LABEL, key_derivation="none", algorithm=_KeyedAlgorithm())


@lru_cache(maxsize=16)
def _link_key(key: bytes) -> bytes:
    return _mac(key, _LINK_LABEL)


def _spelled(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def _mac(key: bytes, message: bytes) -> bytes:
    # BLAKE2b takes a key, and so is a MAC by itself (RFC 7693 §2.9). HMAC-SHA-256 hashes twice and
    # goes through OpenSSL: with it, a mail took a quarter longer to render.
    return blake2b(message, key=key, digest_size=_MAC_BYTES).digest()
