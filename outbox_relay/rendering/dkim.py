"""Sign rendered e-mails with DKIM (RFC 6376, and RFC 8463 for Ed25519).

Canonicalisation is ``relaxed/relaxed``, since servers on the way fold headers and trim lines. A signature has no
timestamp, so each attempt submits the same bytes; Date is signed.
"""

import re
from base64 import b64encode
from collections.abc import Container, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import assert_never

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

DkimKey = RSAPrivateKey | Ed25519PrivateKey

SHORTEST_RSA_BITS, LONGEST_RSA_BITS = 2048, 4096
"""The least that signers should use, and the most that every verifier supports (RFC 8301 §3.2)."""

# Each of these header names is listed once more than it occurs in the mail. So adding another header of this name
# breaks the signature (oversigning, RFC 6376 §8.15).
OVERSIGNED = (b"from", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version", b"content-type")
SIGNED = (*OVERSIGNED, b"auto-submitted", b"content-language")

_FOLD = b"\r\n "
_COLUMNS = 72
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)
_NEXT_FIELD = re.compile(rb"\r\n(?![ \t])")


@dataclass(frozen=True)
class Dkim:
    """The signing domain, and each key with its selector."""

    domain: str
    keys: tuple[tuple[str, DkimKey], ...]


class Signer:
    """Adds one signature per key on top of a mail."""

    def __init__(self, dkim: Dkim) -> None:
        self._keys = [(_tags(dkim.domain, selector, key), key) for selector, key in dkim.keys]

    def signed(self, mail: bytes) -> bytes:
        """Return the mail with its signatures. Its lines must end in CRLF."""
        head, _, body = mail.partition(b"\r\n\r\n")
        fields = {name: relaxed for name, relaxed in map(_relaxed_field, _NEXT_FIELD.split(head)) if name in SIGNED}
        to_sign = b"".join(fields[name] + b"\r\n" for name in SIGNED if name in fields)
        tags = b"h=%b;%bbh=%b;%bb=" % (_names(fields), _FOLD, _body_hash(body), _FOLD)
        return b"".join([*self._signatures(tags, to_sign), mail])

    def _signatures(self, tags: bytes, to_sign: bytes) -> Iterator[bytes]:
        for first_tags, key in self._keys:
            unsigned = first_tags + tags
            _, relaxed = _relaxed_field(unsigned)
            yield unsigned + _folded(b64encode(_sign(key, to_sign + relaxed))) + b"\r\n"


def parse_dkim_keys(text: str) -> tuple[DkimKey, ...]:
    """Parse private keys in PEM form, one after the other. Raises ValueError with a predicate that quotes no key."""
    keys = tuple(_parsed_key(found[0]) for found in _PEM.finditer(text))
    if not keys:
        raise ValueError("holds no private key in PEM form")
    return keys


def _parsed_key(pem: str) -> DkimKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError("holds an encrypted key: the relay has no password for it") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds something that is no private key in PEM form") from None
    match key:
        case Ed25519PrivateKey():
            return key
        case RSAPrivateKey() if SHORTEST_RSA_BITS <= key.key_size <= LONGEST_RSA_BITS:
            return key
        case RSAPrivateKey():
            raise ValueError(f"holds an RSA key that has not {SHORTEST_RSA_BITS} to {LONGEST_RSA_BITS} bits")
        case _:
            raise ValueError("holds a key that is neither RSA nor Ed25519")


def _tags(domain: str, selector: str, key: DkimKey) -> bytes:
    match key:
        case RSAPrivateKey():
            algorithm = "rsa-sha256"
        case Ed25519PrivateKey():
            algorithm = "ed25519-sha256"
        case _:
            assert_never(key)
    tags = f"v=1; a={algorithm}; c=relaxed/relaxed;\r\n d={domain}; s={selector};\r\n "
    return b"DKIM-Signature: " + tags.encode("ascii")


def _sign(key: DkimKey, octets: bytes) -> bytes:
    match key:
        case RSAPrivateKey():
            return key.sign(octets, PKCS1v15(), SHA256())
        case Ed25519PrivateKey():
            return key.sign(sha256(octets).digest())  # of the hash, not of the octets (RFC 8463 §3)
        case _:
            assert_never(key)


def _names(fields: Container[bytes]) -> bytes:
    present = b":".join(name for name in SIGNED if name in fields)
    return present + b":" + _FOLD + b":".join(OVERSIGNED)


def _relaxed_field(field: bytes) -> tuple[bytes, bytes]:
    """Return the name of a header field, and the field in relaxed form (RFC 6376 §3.4.2) without line end."""
    name, _, value = field.partition(b":")
    name = name.rstrip().lower()
    return name, name + b":" + b" ".join(value.split())


def _body_hash(body: bytes) -> bytes:
    """Return the hash of the body in relaxed form (RFC 6376 §3.4.4)."""
    lines = body.replace(b"\t", b" ")
    while b"  " in lines:  # a regular expression takes 100 µs more per mail
        lines = lines.replace(b"  ", b" ")
    lines = lines.replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    return b64encode(sha256(lines + b"\r\n" if lines else b"").digest())


def _folded(encoded: bytes) -> bytes:
    return _FOLD.join(encoded[at : at + _COLUMNS] for at in range(0, len(encoded), _COLUMNS))
