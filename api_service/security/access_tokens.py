"""Access tokens: short-lived JWTs (RFC 7519), signed with Ed25519 keys derived from SECRET_KEYS.

The keys rotate with SECRET_KEYS: the first signs, all verify.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from shared.secrets import SecretKeys, signing_seed
from shared.web.problems import InvalidTokenError

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
"""Identifies the kind of JWT, so that a token for another purpose is rejected (RFC 8725 §3.11)."""

MAX_LENGTH = 4096
"""Characters; issued tokens have about 500, and 1,400 more with many own claims. Longer input is rejected before
parsing."""

LEEWAY = timedelta(seconds=5)
"""The tolerated difference between the clocks of API hosts."""

# No padding (RFC 7515 §2), which the library would ignore: a token has exactly one spelling.
_FORM = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")

_CLAIMS = ("iss", "aud", "sub", "sid", "iat", "exp", "jti")


@dataclass(frozen=True)
class CurrentUser:
    """The user and session of an access token."""

    user_id: UUID
    session_id: UUID


class AccessTokens:
    """Issue and verify access tokens. ``issuer`` is also the audience."""

    def __init__(self, keys: SecretKeys, issuer: str, lifetime: timedelta) -> None:
        self._issuer = issuer
        self._newest_id = keys.newest_id
        self.lifetime = lifetime
        self._keys = {
            key_id: Ed25519PrivateKey.from_private_bytes(signing_seed(key)) for key_id, key in keys.by_id.items()
        }
        self._public_keys = {key_id: key.public_key() for key_id, key in self._keys.items()}

    def issue(
        self,
        user: CurrentUser,
        now: datetime,
        *,
        lifetime: timedelta | None = None,
        claims: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        """Return a signed token for the user and session, with additional claims, which cannot replace others."""
        claims = {
            **claims,
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": str(user.user_id),
            "sid": str(user.session_id),
            "iat": int(now.timestamp()),
            "exp": int((now + (lifetime or self.lifetime)).timestamp()),
            "jti": str(uuid4()),
        }
        headers = {"kid": self._newest_id, "typ": TYPE}
        return jwt.encode(claims, self._keys[self._newest_id], algorithm=ALGORITHM, headers=headers)

    def read(self, access_token: str) -> CurrentUser:
        """Return the user and session of a valid token. Raises InvalidTokenError.

        The caller checks in the database that the session exists.
        """
        if len(access_token) > MAX_LENGTH or not _FORM.fullmatch(access_token):
            raise InvalidTokenError
        try:
            claims = self._verified(access_token)
            return CurrentUser(UUID(claims["sub"]), UUID(claims["sid"]))
        # Without cause, which could quote the input. A KeyError is an unknown or missing kid; other errors come from
        # claims of the wrong form.
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, AttributeError):
            raise InvalidTokenError from None

    def _verified(self, access_token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(access_token)
        read = jwt.decode_complete(
            access_token,
            self._public_keys[header["kid"]],
            algorithms=[ALGORITHM],
            audience=self._issuer,
            issuer=self._issuer,
            leeway=LEEWAY,
            options={"require": list(_CLAIMS), "strict_aud": True},
        )
        if read["header"].get("typ") != TYPE:
            raise InvalidTokenError
        claims: dict[str, Any] = read["payload"]
        return claims

    def key_set(self) -> dict[str, Any]:
        """Return the public keys as a JWK set (RFC 7517 §5, RFC 8037 §2)."""
        return {"keys": [self._jwk(key_id) for key_id in self._public_keys]}

    def _jwk(self, key_id: str) -> dict[str, str]:
        public = OKPAlgorithm.to_jwk(self._public_keys[key_id], as_dict=True)
        return {"kty": public["kty"], "crv": public["crv"], "x": public["x"]} | {
            "kid": key_id,
            "alg": ALGORITHM,
            "use": "sig",
        }
