"""Sessions of the pages, and the limit on wrong tokens.

A session is a row; the browser has a random cookie whose hash is the row's id. The row refers to the token of the
sign-in, so a session ends when its token expires or is revoked. The database's clock decides both.
"""

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from math import ceil
from threading import Lock
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from operator_console.web.errors import TooManyWrongTokensError
from shared.models import ConsoleSession, OperatorToken

MAX_WRONG_TOKENS, WINDOW_SECONDS = 10, 60
COOKIE_BYTES = 32
USE_RECORDED_EVERY = timedelta(seconds=15)
"""The shortest time between two writes of a session's use, so that most page views only read."""

_CSRF_LABEL = b"signpost/console/csrf/1:"


class WrongTokenLimit:
    """Wrong tokens by client address, counted in memory, as there is one process.

    A token cannot be guessed; the limit reduces load and log lines.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.times: dict[str, list[float]] = {}
        self._lock = Lock()

    def check(self, client: str) -> None:
        """Raise TooManyWrongTokensError while the client is over the limit."""
        now = self._clock()
        recent = _within_window(self.times.get(client, []), now)
        if len(recent) >= MAX_WRONG_TOKENS:
            raise TooManyWrongTokensError(max(ceil(recent[0] + WINDOW_SECONDS - now), 1))

    def count(self, client: str) -> None:
        """Count a wrong token, and forget those before the window."""
        now = self._clock()
        with self._lock:
            recent = {one: _within_window(times, now) for one, times in self.times.items()}
            self.times = {one: times for one, times in recent.items() if times}
            self.times.setdefault(client, []).append(now)


def _within_window(times: list[float], now: float) -> list[float]:
    return [at for at in times if at > now - WINDOW_SECONDS]


@dataclass(frozen=True)
class SessionPolicy:
    """How long an unused session lasts, and any session."""

    idle: timedelta
    lifetime: timedelta


def start_session(session: Session, token_id: UUID, policy: SessionPolicy) -> str:
    """Add a session for the token and return its cookie; delete sessions that have ended. The caller commits."""
    cookie = secrets.token_urlsafe(COOKIE_BYTES)
    session.execute(delete(ConsoleSession).where(_has_ended(policy)))
    session.execute(insert(ConsoleSession).values(id=_id_of(cookie), token_id=token_id))
    return cookie


def token_of(session: Session, cookie: str, policy: SessionPolicy) -> OperatorToken | None:
    """Return the token of the cookie's session, or None if either has ended."""
    return session.scalars(
        select(OperatorToken)
        .join(ConsoleSession, ConsoleSession.token_id == OperatorToken.id)
        .where(
            ConsoleSession.id == _id_of(cookie),
            ~_has_ended(policy),
            OperatorToken.revoked_at.is_(None),
            OperatorToken.expires_at > func.now(),
        )
    ).one_or_none()


def record_use(session: Session, cookie: str) -> None:
    """Store that the session is in use, unless that was stored just before."""
    session.execute(
        update(ConsoleSession)
        .where(and_(ConsoleSession.id == _id_of(cookie), ConsoleSession.used_at < func.now() - USE_RECORDED_EVERY))
        .values(used_at=func.now())
    )


def end_session(session: Session, cookie: str) -> None:
    """Delete the session."""
    session.execute(delete(ConsoleSession).where(ConsoleSession.id == _id_of(cookie)))


def csrf_token_of(cookie: str) -> str:
    """Return the CSRF token of the session's forms, derived from the cookie, which other sites cannot read."""
    return urlsafe_b64encode(sha256(_CSRF_LABEL + cookie.encode()).digest()).decode().rstrip("=")


def is_csrf_token(candidate: str, cookie: str) -> bool:
    """Return whether the candidate is the session's CSRF token, in constant time."""
    return compare_digest(candidate.encode(), csrf_token_of(cookie).encode())


def _has_ended(policy: SessionPolicy) -> ColumnElement[bool]:
    return or_(
        ConsoleSession.used_at < func.now() - policy.idle,
        ConsoleSession.started_at < func.now() - policy.lifetime,
    )


def _id_of(cookie: str) -> bytes:
    return sha256(cookie.encode()).digest()
