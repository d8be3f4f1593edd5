"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): repeated requests execute once.

Mark a route ``@idempotent``. In its transaction, call ``acquire_key`` before the first write and ``store_response``
after the last. Both do nothing for a request without a key.
"""

import hashlib
import re
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from uuid import UUID

from flask import Response, g, json, make_response, request
from sqlalchemy.orm import Session

from api_service.errors import KeyInUseError, KeyMalformedError
from api_service.http.annotations import Mark, add_mark
from api_service.http.rate_limiting import refund_all
from api_service.services import services
from api_service.use_cases import stored_responses
from api_service.use_cases.stored_responses import CompletedConcurrentlyError, RequestKey, StoredResponse
from shared.secrets import request_mac
from shared.web.problems import ProblemError

View = Callable[..., Response]

STORED_HEADERS = ("Content-Type", "Location")
SECRET_MEMBERS = ("access_token", "refresh_token")
"""Never stored: a replayed response lacks them, and its client signs in instead."""

# A string of RFC 9651, or the same without quotes, as most clients send it. A shorter key could be guessed, or collide
# with another client's.
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){16,255})"')
_BARE = re.compile(r"[A-Za-z0-9._~:/+=@-]{16,255}")


def idempotent(view: View) -> View:
    """Replay the first response to a repeated request. Each signed-in user has a separate key space."""

    @wraps(view)
    def once(*parts: Any, **arguments: Any) -> Response:
        offered = request.headers.get("Idempotency-Key")
        if offered is None:
            return view(*parts, **arguments)
        g.request_key = request_key(parse_key(offered))
        response = _stored()
        return _replayed(response) if response else _execute(partial(view, *parts, **arguments))

    return add_mark(once, Mark.IDEMPOTENT)


def acquire_key(session: Session) -> None:
    """Lock the request's key for this transaction, if it has one. Raises KeyInUseError."""
    if "request_key" in g:
        stored_responses.acquire_key(session, g.request_key)


def store_response(session: Session, response: Response, user_id: UUID | None = None) -> Response:
    """Store the response in the transaction if the request has a key, and return it.

    The stored response is deleted with that user, by default the signed-in user.
    """
    if "request_key" in g:
        headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
        stored = StoredResponse(response.status_code, headers, _storable_body(response))
        stored_responses.store_response(session, g.request_key, stored, user_id or g.get("user_id"))
    return response


def parse_key(header: str) -> str:
    """Return the key in the header. Raises KeyMalformedError."""
    if quoted := _QUOTED.fullmatch(header):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if _BARE.fullmatch(header):
        return header
    raise KeyMalformedError


def request_key(key: str) -> RequestKey:
    """Identify the current request by hashes, which reveal nothing of its content."""
    route = request.url_rule.rule if request.url_rule else ""
    scope = "\0".join((request.method, route, str(g.get("user_id", "")), key))
    content = f"{request.method}\0{request.path}\0".encode() + request.get_data()
    macs = tuple(request_mac(content, server_key) for server_key in services().keys.by_id.values())
    return RequestKey(hashlib.sha256(scope.encode()).digest(), macs)


def _storable_body(response: Response) -> str:
    if not response.is_json:
        return response.get_data(as_text=True)
    return json.dumps({name: value for name, value in response.get_json().items() if name not in SECRET_MEMBERS})


def _execute(view: View) -> Response:
    """Run the view. A repetition that overlaps the first request gets its hits of rate limits refunded."""
    try:
        return view()
    except CompletedConcurrentlyError as completed:
        response = completed.response
    except KeyInUseError:
        refund_all()
        raise
    except ProblemError:
        # The error may be due to the first request, which has just used up the code, for example.
        found = _stored()
        if found is None:
            raise
        response = found
    refund_all()
    return _replayed(response)


def _stored() -> StoredResponse | None:
    with services().sessions.begin() as session:
        return stored_responses.find_response(session, g.request_key)


def _replayed(response: StoredResponse) -> Response:
    replayed = make_response(response.body, response.status, dict(response.headers))
    replayed.headers["Idempotency-Replayed"] = "true"
    return replayed
