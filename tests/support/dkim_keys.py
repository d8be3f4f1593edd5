"""DKIM keys, and an independent verifier with the records that DNS would hold."""

from base64 import b64encode
from collections.abc import Mapping
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from outbox_relay.rendering.dkim import DkimKey

Records = Mapping[str, bytes]


@cache
def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    """Make a key once, because that is slow."""
    return generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ed25519_key(number: int = 0) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def pem_of(*keys: DkimKey) -> str:
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return "".join(key.private_bytes(*form).decode() for key in keys)


def record_of(key: DkimKey) -> bytes:
    """Return the DNS text record for the key's selector."""
    match key:
        case RSAPrivateKey():
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return b"v=DKIM1; k=rsa; p=" + b64encode(public)
        case Ed25519PrivateKey():
            return b"v=DKIM1; k=ed25519; p=" + b64encode(key.public_key().public_bytes_raw())


def verifies(mail: bytes, records: Records, signature: int = 0) -> bool:
    """Return whether dkimpy accepts that signature of the mail, counted from the top."""

    def published(name: bytes, timeout: float = 5) -> bytes | None:  # noqa: ARG001 - dkimpy's signature
        return records.get(name.decode().rstrip("."))

    try:
        return bool(dkim.DKIM(mail).verify(idx=signature, dnsfunc=published))
    except dkim.DKIMException:
        return False
