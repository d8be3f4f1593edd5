"""Cross-origin requests (CORS, in the Fetch standard), only from CORS_ORIGINS.

Calls carry bearer tokens, so no origin may send the browser's credentials.
"""

from collections.abc import Set as AbstractSet

from flask import Flask, Response, request

PATHS = "/v1/"
PREFLIGHT_SECONDS = 600
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Prefer, X-Request-Id"
EXPOSED_HEADERS = (
    "Idempotency-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, "
    "WWW-Authenticate, X-Request-Id"
)


def allow_origins(app: Flask, origins: AbstractSet[str]) -> None:
    """Let pages of these origins read responses. Without any, send no CORS headers."""

    def add_headers(response: Response) -> Response:
        if request.path.startswith(PATHS):
            response.vary.add("Origin")  # for every origin, or a cache would mix responses up
            if (origin := request.headers.get("Origin")) in origins:
                _allow(response, str(origin))
        return response

    if origins:
        app.after_request(add_headers)


def _allow(response: Response, origin: str) -> None:
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
        response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
