"""What operations share: headers, parameters, how a user is known, and an example of each problem."""

from collections.abc import Mapping
from typing import Any

from api_service.answer_schemas import AN_ID
from api_service.errors import AnyCode, Code, FaultCode
from api_service.problem_words import FAULTS, KINDS
from api_service.problems import REALM
from api_service.rate_limits import Limit
from api_service.waiting import LONGEST_WAIT_SECONDS
from shared.web.bearer import challenge
from shared.web.kinds import problem_document
from shared.web.refusals import CommonCode

Json = dict[str, Any]

BEARER = "accessToken"
SECURITY_SCHEMES: Mapping[str, Json] = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `access_token` of a session. Its keys are at `/.well-known/jwks.json`.",
    }
}


def _header(description: str, example: str | int, **schema: Any) -> Json:
    return {"description": description, "schema": {"type": "string", "examples": [example]} | schema}


HEADERS: Mapping[str, Json] = {
    "X-Request-Id": _header("The request's id: its own, if that was harmless, else a new one.", AN_ID),
    "Location": _header("Where the registration is.", f"/v1/registrations/{AN_ID}", format="uri-reference"),
    "Retry-After": _header("In how many seconds to ask again.", 60, type="integer", minimum=1),
    "WWW-Authenticate": _header("What would be accepted (RFC 6750).", challenge(REALM)),
    "Allow": _header("The methods of this address.", "GET, HEAD, OPTIONS"),
    "RateLimit": _header(
        "What is left of limits (draft-ietf-httpapi-ratelimit-headers).", '"registrations_per_network";r=19;t=60'
    ),
    "RateLimit-Policy": _header("What the limits are.", '"registrations_per_network";q=20;w=60'),
    "Preference-Applied": _header("That the answer has waited.", "wait=5"),
    "Idempotency-Replayed": _header("That the answer is the first request's.", "true", enum=["true"]),
    "Content-Disposition": _header("What to call the file.", 'attachment; filename="personal-data.json"'),
}

PARAMETERS: Mapping[str, Json] = {
    "X-Request-Id": {
        "in": "header",
        "name": "X-Request-Id",
        "description": "What to call the request in logs and answers: letters, digits, `.`, `_`, `-`; 128 at most.",
        "schema": {"type": "string"},
        "example": AN_ID,
    },
    "Idempotency-Key": {
        "in": "header",
        "name": "Idempotency-Key",
        "description": "Makes a repetition safe: the same key and body are carried out once and answered alike for a "
        "day. 16 to 255 characters, with or without quotes; a UUID for each thing that you want done.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~:/+=@-]{16,255}$"},
        "example": "5b2f0d3e-7c1a-4e8b-9f66-0a1b2c3d4e5f",
    },
    "Prefer": {
        "in": "header",
        "name": "Prefer",
        "description": f"`wait=N`: answer once the message is sent or given up, after N seconds at the latest, "
        f"{LONGEST_WAIT_SECONDS} at most (RFC 7240).",
        "schema": {"type": "string"},
        "example": "wait=1",
    },
    "token": {
        "in": "query",
        "name": "token",
        "description": "What the link carries.",
        "schema": {"type": "string"},
    },
}

_MEMBERS: Mapping[AnyCode, Json] = {
    CommonCode.VALIDATION_FAILED: {
        "errors": [{"pointer": "#/email", "code": FaultCode.REQUIRED, "message": FAULTS[FaultCode.REQUIRED]}]
    },
    Code.TOO_MANY_REQUESTS: {"limits": [Limit.REGISTRATIONS_PER_NETWORK]},
    CommonCode.NOT_READY: {"missing": ["database"]},
    Code.ACCOUNT_NOT_ACTIVATED: {"resend": f"/v1/registrations/{AN_ID}/resend"},
}


def example_of(code: AnyCode) -> Json:
    """Return what a problem of that code looks like."""
    document = problem_document(KINDS[code], code, AN_ID, **_MEMBERS.get(code, {}))
    return {"summary": document["title"], "value": document}
