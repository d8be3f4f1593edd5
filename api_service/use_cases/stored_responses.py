"""Stored responses of requests with an Idempotency-Key, written in the transaction that executes the request.

A response exists if and only if the request was executed: after a crash the repetition executes. Errors roll back and
store nothing; a repetition is checked again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api_service.errors import KeyInUseError, KeyReusedError
from shared.models import IdempotencyKey


@dataclass(frozen=True)
class RequestKey:
    """A hash of the route, the user and the key; and MACs of the request, the newest server key's first."""

    id: bytes
    fingerprints: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class StoredResponse:
    """The response to replay."""

    status: int
    headers: Mapping[str, str]
    body: str = field(repr=False)


class CompletedConcurrentlyError(Exception):
    """Another request with the key completed between the first lookup and this transaction."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__()
        self.response = response


def find_response(session: Session, key: RequestKey) -> StoredResponse | None:
    """Return the stored response of the key, if any. Raises KeyReusedError for a different request."""
    stored = session.get(IdempotencyKey, key.id)
    if stored is None:
        return None
    if stored.fingerprint not in key.fingerprints:
        raise KeyReusedError
    return StoredResponse(stored.status, stored.headers, stored.body)


def acquire_key(session: Session, key: RequestKey) -> None:
    """Lock the key for this transaction, before any write.

    It never waits: raises KeyInUseError while another transaction holds the key, and CompletedConcurrentlyError if one
    has just completed. The lock ends with the transaction, also behind a pooler.
    """
    # Two keys share a number once in 2^64, and would only delay each other.
    number = int.from_bytes(key.id[:8], "big", signed=True)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
        raise KeyInUseError
    if response := find_response(session, key):
        raise CompletedConcurrentlyError(response)


def store_response(session: Session, key: RequestKey, response: StoredResponse, user_id: UUID | None) -> None:
    """Add the response to the caller's transaction; it is deleted with the user."""
    session.add(
        IdempotencyKey(
            id=key.id,
            fingerprint=key.fingerprints[0],
            status=response.status,
            headers=dict(response.headers),
            body=response.body,
            user_id=user_id,
        )
    )
    session.flush()
