"""Flask responses for problems (RFC 9457), and handlers for errors of Werkzeug and the database."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify
from werkzeug.exceptions import HTTPException

from shared.db.engine import DATABASE_FAILURES, is_database_unavailable
from shared.db.errors import describe
from shared.log import get_logger
from shared.web.problems import MEDIA_TYPE, CommonCode, Violation, code_of

log = get_logger("web.problems")

RETRY_AFTER_SECONDS = 2
"""While the database is unavailable. A restart takes about this long."""

ResponseFor = Callable[[StrEnum], Response]
"""Create a service's response for a code."""


def handle_failures(app: Flask, response_for: ResponseFor) -> None:
    """Register handlers for Werkzeug's errors and an unavailable database."""
    app.register_error_handler(HTTPException, partial(_from_werkzeug, response_for))
    for failure in DATABASE_FAILURES:
        app.register_error_handler(failure, partial(database_unavailable, response_for))


def json_response(document: dict[str, Any], realm: str) -> Response:
    """Return the response with a problem's document, with a challenge if the status is 401."""
    response = jsonify(document)
    response.status_code = document["status"]
    response.mimetype = MEDIA_TYPE
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = challenge(realm, document["code"])
    return response


def challenge(realm: str, code: StrEnum | None = None) -> str:
    """Return the WWW-Authenticate header of a 401. Without a token in the request, it has no error (RFC 6750 §3.1)."""
    return f'Bearer realm="{realm}"' + (', error="invalid_token"' if code is CommonCode.INVALID_TOKEN else "")


def violation_documents(violations: list[Violation], messages: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the JSON of violations, with the service's messages."""
    return [{"pointer": each.pointer, "code": each.code, "message": messages[each.code]} for each in violations]


def database_unavailable(response_for: ResponseFor, error: Exception) -> Response:
    """Log the error and return a 503, or raise it again if it has another cause."""
    if not is_database_unavailable(error):
        raise error
    log.warning("database unavailable", request_id=g.request_id, **describe(error))
    return with_retry_after(response_for(CommonCode.DATABASE_UNAVAILABLE), RETRY_AFTER_SECONDS)


def with_retry_after(response: Response, seconds: int) -> Response:
    """Set the Retry-After header."""
    response.headers["Retry-After"] = str(seconds)
    return response


def _from_werkzeug(response_for: ResponseFor, error: HTTPException) -> Response:
    response = response_for(code_of(HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)))
    own_headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    response.headers.update(own_headers)
    return response
