"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): repeated requests execute once.

Mark a route ``@idempotent``. In its transaction, call ``acquire_key`` before the first write and ``store_response``
after the last. Without a key, both return at once.

A response is stored if and only if the request was executed: after a crash the repetition executes. Errors roll back
and leave no response, so a repetition is checked again.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any
from uuid import UUID

from flask import Response, g, json, make_response, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api_service.errors import KeyInUseError, KeyMalformedError, KeyReusedError
from api_service.http.annotations import Mark, add_mark
from api_service.http.rate_limiting import refund_all
from api_service.services import services
from shared.models import IdempotencyKey
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


@dataclass(frozen=True)
class RequestKey:
    """A hash of the route, the user and the key; and MACs of the request, the newest server key's first."""

    id: bytes
    fingerprints: tuple[bytes, ...] = field(repr=False)


class CompletedConcurrentlyError(Exception):
    """Another request with the key completed between the first lookup and this transaction."""

    def __init__(self, response: IdempotencyKey) -> None:
        super().__init__()
        self.response = response


def idempotent(view: View) -> View:
    """Replay the first response to a repeated request. Each signed-in user has a separate key space."""

    @wraps(view)
    def once(*parts: Any, **arguments: Any) -> Response:
        offered = request.headers.get("Idempotency-Key")
        if offered is None:
            return view(*parts, **arguments)
        g.request_key = request_key(parse_key(offered))
        stored = _stored()
        return _replayed(stored) if stored else _execute(partial(view, *parts, **arguments))

    return add_mark(once, Mark.IDEMPOTENT)


def acquire_key(session: Session) -> None:
    """Lock the request's key for this transaction, if it has one, before any write.

    It never waits: raises KeyInUseError while another transaction holds the key, and CompletedConcurrentlyError if one
    has just completed. The lock ends with the transaction, also behind a pooler.
    """
    if "request_key" not in g:
        return
    # Two keys share a number once in 2^64, and would only delay each other.
    number = int.from_bytes(g.request_key.id[:8], "big", signed=True)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
        raise KeyInUseError
    if stored := find_response(session, g.request_key):
        session.expunge(stored)  # the rollback would expire it
        raise CompletedConcurrentlyError(stored)


def find_response(session: Session, key: RequestKey) -> IdempotencyKey | None:
    """Return the stored response of the key, if any. Raises KeyReusedError for a different request.

    It returns a response of any age until the maintenance deletes it. After the removal of the server key that was the
    newest when it was stored, an identical request also counts as different.
    """
    stored = session.get(IdempotencyKey, key.id)
    if stored and stored.fingerprint not in key.fingerprints:
        raise KeyReusedError
    return stored


def store_response(session: Session, response: Response, user_id: UUID | None = None) -> Response:
    """Store the response in the transaction if the request has a key, and return it.

    The stored response is deleted with that user, by default the signed-in user.
    """
    if "request_key" in g:
        session.add(
            IdempotencyKey(
                id=g.request_key.id,
                fingerprint=g.request_key.fingerprints[0],
                status=response.status_code,
                headers={name: response.headers[name] for name in STORED_HEADERS if name in response.headers},
                body=_storable_body(response),
                user_id=user_id or g.get("user_id"),
            )
        )
    return response


def parse_key(header: str) -> str:
    """Return the key in the header. Raises KeyMalformedError."""
    if quoted := _QUOTED.fullmatch(header):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if _BARE.fullmatch(header):
        return header
    raise KeyMalformedError


def request_key(key: str) -> RequestKey:
    """Identify the current request by hashes, which do not reveal its content."""
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


def _stored() -> IdempotencyKey | None:
    with services().sessions.begin() as session:
        return find_response(session, g.request_key)


def _replayed(stored: IdempotencyKey) -> Response:
    replayed = make_response(stored.body, stored.status, stored.headers)
    replayed.headers["Idempotency-Replayed"] = "true"
    return replayed
