"""Derive codes, links and other secrets from ids and SECRET_KEYS, which are not stored, and keyed hashes of addresses.

The relay derives a code to render it, and the API to verify it. Each token names its key, so keys can be rotated while
messages wait.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

CODE_DIGITS = 6
SHORTEST_KEY_BYTES, LONGEST_KEY_BYTES = 32, 64
"""At least the MAC's length, and at most BLAKE2b's maximum (RFC 7693 §2.1)."""

_MAC_BYTES = 32

_CODE_LABEL = b"signpost/code/1:"
_NUMBER_LABEL = b"signpost/number/1:"
_ADDRESS_LABEL = b"signpost/address/1:"
_SIGNING_LABEL = b"signpost/access-token/1"
_REQUEST_LABEL = b"signpost/request/1:"
_TENANT_LABEL = b"signpost/tenant/1:"
_CLIENT_LABEL = b"signpost/client/1:"


class LinkUse(Enum):
    """The purpose of a link: its token works on one page only. The values are labels of MACs."""

    ACTIVATE = b"signpost/link/1"
    END_SESSIONS = b"signpost/end-sessions/1"
    ACCEPT_INVITATION = b"signpost/invitation/1"


class UnknownKeyError(LookupError):
    """A token names a key that SECRET_KEYS does not contain."""


@dataclass(frozen=True)
class SecretKeys:
    """Keys by id, newest first. The first one derives new tokens, all of them verify."""

    by_id: Mapping[str, bytes] = field(repr=False)

    @property
    def newest_id(self) -> str:
        """Id of the key for new tokens."""
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
    """Compare a code with the token's, in constant time."""
    return hmac.compare_digest(code_for(token_id, key).encode(), offered.encode())


def link_token_for(linked_id: UUID, key: bytes, use: LinkUse = LinkUse.ACTIVATE) -> str:
    """Derive the token of a link: the id of a token or a notice with a MAC, URL-safe."""
    spelled_id = _base64(linked_id.bytes)
    return (spelled_id + b"." + _base64(_mac(_link_key(key, use), spelled_id))).decode()


def token_id_of_link(link_token: str, keys: SecretKeys, use: LinkUse = LinkUse.ACTIVATE) -> UUID | None:
    """Return the id from a link's token, or None if no key verifies it for this use."""
    try:
        linked_id = UUID(bytes=urlsafe_b64decode(link_token.partition(".")[0] + "=="))
        # All of it, because Base64 has several encodings of the same bytes.
        offered = link_token.encode()
        valid = [link_token_for(linked_id, key, use).encode() for key in keys.by_id.values()]
    except ValueError:
        return None
    return linked_id if any(hmac.compare_digest(offered, each) for each in valid) else None


def number_hash(number: str, key: bytes) -> str:
    """Return a keyed hash of a phone number, for counting. An unkeyed hash could be reversed by enumeration."""
    return _mac(key, _NUMBER_LABEL + number.encode()).hex()[:32]


def address_id(canonical: str, key: bytes) -> UUID:
    """Return a keyed hash of an address, for lookups and counting, whether or not it has an account.

    Without the key, a list of addresses cannot be matched with it.
    """
    return UUID(bytes=_mac(key, _ADDRESS_LABEL + canonical.encode())[:16])


def suppression_hashes(canonical: str, keys: SecretKeys) -> Mapping[str, bytes]:
    """Return the hash of a canonical address under each of FEEDBACK_KEYS, by the key's id, newest first.

    The suppression list knows addresses only by these hashes. An entry made with an older key is found as long as that
    key is in the setting.
    """
    return {
        key_id: blake2b(canonical.encode(), key=key, digest_size=16, person=b"signpost/suppres").digest()
        for key_id, key in keys.by_id.items()
    }


def client_hash(user_id: UUID, kind: str, text: str, key: bytes) -> bytes:
    """Return a keyed hash of a device or network of a user. The same device of another user has another hash."""
    return _mac(key, _CLIENT_LABEL + user_id.bytes + f"{kind}:{text}".encode())


def signing_seed(key: bytes) -> bytes:
    """Derive the seed of the Ed25519 key for access tokens (RFC 8032 §5.1.5)."""
    return _mac(key, _SIGNING_LABEL)


def request_mac(request: bytes, key: bytes) -> bytes:
    """Return a MAC that identifies a request. Without the key, it cannot be used to guess a password in the request."""
    return _mac(key, _REQUEST_LABEL + request)


def tenant_password(organization_id: UUID, key: bytes, number: int = 0) -> str:
    """Derive the database password of an organization's role. Each renewal adds one to ``number``."""
    renewal = number.to_bytes(4) if number else b""
    return _base64(_mac(key, _TENANT_LABEL + organization_id.bytes + renewal)).decode()


def tenant_passwords(organization_id: UUID, keys: SecretKeys, number: int) -> list[str]:
    """Return the password that was set last, followed by older passwords that may still be valid.

    Older keys made them, or the number before, if a relay is replacing that password.
    """
    numbers = [number, number - 1] if number else [0]
    return [tenant_password(organization_id, key, each) for each in numbers for key in keys.by_id.values()]


@lru_cache(maxsize=16)
def _link_key(key: bytes, use: LinkUse) -> bytes:
    return _mac(key, use.value)


def _base64(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def _mac(key: bytes, message: bytes) -> bytes:
    # Keyed BLAKE2b is a MAC (RFC 7693 §2.9). With HMAC-SHA-256, rendering an e-mail took 25 % longer.
    return blake2b(message, key=key, digest_size=_MAC_BYTES).digest()
