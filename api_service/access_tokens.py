"""Access tokens: short-lived JWTs (RFC 7519), signed with Ed25519 under keys derived from SECRET_KEYS.

So there is no second secret to keep, and the keys rotate with those of codes: the first signs, all verify.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from shared.secrets import SecretKeys, signing_seed
from shared.web.refusals import InvalidTokenError

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
"""Says what kind of JWT it is, so that none made for something else is taken for it (RFC 8725 §3.11)."""

LONGEST = 2048
"""Characters; ours have some 500. Parsers need not be fed more."""

LEEWAY = timedelta(seconds=5)
"""By how much the clocks of hosts that serve the API may differ."""

# No padding (RFC 7515 §2), which the library would overlook: one token has one spelling.
_FORM = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")

_CLAIMS = ("iss", "aud", "sub", "sid", "iat", "exp", "jti")


@dataclass(frozen=True)
class SignedIn:
    """Who asks, and the session that they do it in."""

    user_id: UUID
    session_id: UUID


class AccessTokens:
    """What issues access tokens in the name of ``issuer``, for itself, and reads them again."""

    def __init__(self, keys: SecretKeys, issuer: str, lifetime: timedelta) -> None:
        self._issuer = issuer
        self._newest_id = keys.newest_id
        self.lifetime = lifetime
        self._keys = {
            key_id: Ed25519PrivateKey.from_private_bytes(signing_seed(key)) for key_id, key in keys.by_id.items()
        }
        self._public_keys = {key_id: key.public_key() for key_id, key in self._keys.items()}

    def issue(self, holder: SignedIn, now: datetime) -> str:
        """Sign a token that says who its holder is, from now on for the lifetime."""
        claims = {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": str(holder.user_id),
            "sid": str(holder.session_id),
            "iat": int(now.timestamp()),
            "exp": int((now + self.lifetime).timestamp()),
            "jti": str(uuid4()),
        }
        headers = {"kid": self._newest_id, "typ": TYPE}
        return jwt.encode(claims, self._keys[self._newest_id], algorithm=ALGORITHM, headers=headers)

    def read(self, access_token: str) -> SignedIn:
        """Return what a token says that one of our keys has signed, and that holds just now.

        Raises InvalidTokenError for anything else. Whether the session goes on is for the database to say.
        """
        if len(access_token) > LONGEST or not _FORM.fullmatch(access_token):
            raise InvalidTokenError
        try:
            claims = self._verified(access_token)
            return SignedIn(UUID(claims["sub"]), UUID(claims["sid"]))
        # Not as its cause: what was sent may be quoted in it. A KeyError is an unknown or missing kid; the
        # others come of claims that are not what ours are.
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
        """Return the public keys as a JWK set (RFC 7517 §5, RFC 8037 §2): all that may sign now or soon."""
        return {"keys": [self._jwk(key_id) for key_id in self._public_keys]}

    def _jwk(self, key_id: str) -> dict[str, str]:
        public = OKPAlgorithm.to_jwk(self._public_keys[key_id], as_dict=True)
        return {"kty": public["kty"], "crv": public["crv"], "x": public["x"]} | {
            "kid": key_id,
            "alg": ALGORITHM,
            "use": "sig",
        }
