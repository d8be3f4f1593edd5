"""Browsers on other sites (CORS, in the Fetch standard): none may call, but those of CORS_ORIGINS.

Calls carry bearer tokens and no cookies, so that no site is ever allowed to send credentials of the browser's.
"""

from collections.abc import Set as AbstractSet

from flask import Flask, Response, request

PATHS = "/v1/"
PREFLIGHT_SECONDS = 600
ASKED = "Authorization, Content-Type, Idempotency-Key, Prefer, X-Request-Id"
TOLD = (
    "Idempotency-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, "
    "WWW-Authenticate, X-Request-Id"
)


def allow_origins(app: Flask, origins: AbstractSet[str]) -> None:
    """Have pages of these origins read what the API answers. Without any, nothing is said of origins."""

    def tell(answer: Response) -> Response:
        if request.path.startswith(PATHS):
            answer.vary.add("Origin")  # also for others, or a cache would give them this one's answer
            if (origin := request.headers.get("Origin")) in origins:
                _allow(answer, str(origin))
        return answer

    if origins:
        app.after_request(tell)


def _allow(answer: Response, origin: str) -> None:
    answer.headers["Access-Control-Allow-Origin"] = origin
    answer.headers["Access-Control-Expose-Headers"] = TOLD
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        answer.headers["Access-Control-Allow-Methods"] = answer.headers.get("Allow", "")
        answer.headers["Access-Control-Allow-Headers"] = ASKED
        answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
