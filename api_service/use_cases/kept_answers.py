"""Answers to requests with an Idempotency-Key, kept in the very transaction that does what was asked for.

So there is an answer if, and only if, it was done: a crash in between leaves neither, and the repetition
is carried out. Refusals are rolled back and leave none; repeated, they are looked at again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api_service.errors import KeyInUseError, KeyReusedError
from shared.models import KeptAnswer


@dataclass(frozen=True)
class RequestKey:
    """A hash of where and by whom which key was used; and MACs of the request, the newest key's first."""

    id: bytes
    fingerprints: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What is given again to whoever repeats a request."""

    status: int
    headers: Mapping[str, str]
    body: str = field(repr=False)


class AnsweredMeanwhileError(Exception):
    """Another request with the key was carried out between the first look and this transaction."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def kept_answer(session: Session, key: RequestKey) -> Answer | None:
    """Return what the key's first request was answered, if it has been. Raises KeyReusedError for another request's."""
    kept = session.get(KeptAnswer, key.id)
    if kept is None:
        return None
    if kept.fingerprint not in key.fingerprints:
        raise KeyReusedError
    return Answer(kept.status, kept.headers, kept.body)


def take_key(session: Session, key: RequestKey) -> None:
    """Make the key this transaction's own, before anything is written in it.

    Waits for nobody: raises KeyInUseError while another transaction has it, AnsweredMeanwhileError if one
    had it a moment ago. The right ends with the transaction, however that ends, also behind a pooler.
    """
    # Two keys share a number once in 2^64: they would only get in each other's way for a moment.
    number = int.from_bytes(key.id[:8], "big", signed=True)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
        raise KeyInUseError
    if answer := kept_answer(session, key):
        raise AnsweredMeanwhileError(answer)


def keep(session: Session, key: RequestKey, answer: Answer, user_id: UUID | None) -> None:
    """Add the answer to the caller's transaction; it goes with the user, if it tells of one. Never commits."""
    session.add(
        KeptAnswer(
            id=key.id,
            fingerprint=key.fingerprints[0],
            status=answer.status,
            headers=dict(answer.headers),
            body=answer.body,
            user_id=user_id,
        )
    )
    session.flush()
