"""Bearer tokens in requests, and challenges in responses (RFC 6750)."""

from enum import StrEnum

from shared.web.problems import CommonCode, TokenRequiredError

SCHEME = "bearer"


def bearer_token(authorization: str) -> str:
    """Return the token in an Authorization header (RFC 6750 §2.1). Raises TokenRequiredError."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != SCHEME or not token.strip():
        raise TokenRequiredError
    return token.strip()


def challenge(realm: str, code: StrEnum | None = None) -> str:
    """Return the WWW-Authenticate header of a 401. Without a token in the request, it has no error (RFC 6750 §3.1)."""
    return f'Bearer realm="{realm}"' + (', error="invalid_token"' if code is CommonCode.INVALID_TOKEN else "")
