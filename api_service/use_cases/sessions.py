"""Sessions: started by signing in, extended by refresh tokens that work once, and ended by deleting them."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Delete, Row, delete, func, select, update
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import InvalidRefreshTokenError, UnknownSessionError
from shared.log import get_logger
from shared.models import SessionRow
from shared.web.problems import InvalidTokenError

MAX_SESSIONS = 100
"""Per user. One more ends the least recently used session."""

HALF_BYTES = 32
_REFRESH_TOKEN = re.compile(r"[A-Za-z0-9_-]{86}")

log = get_logger("api.sessions")


@dataclass(frozen=True)
class SessionPolicy:
    """A session ends when it is not refreshed for ``idle``, and after ``lifetime`` in any case."""

    idle: timedelta
    lifetime: timedelta


@dataclass(frozen=True)
class SessionContext:
    """The policy of a new session, and the client's user agent."""

    policy: SessionPolicy
    user_agent: str | None


@dataclass(frozen=True)
class StartedSession:
    """A session with its refresh token, which is only available here."""

    id: UUID
    user_id: UUID
    refresh_token: str = field(repr=False)


@dataclass(frozen=True)
class ListedSession:
    """A session as its user sees it."""

    id: UUID
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class RefreshToken:
    """The first half identifies the session's token family, the second changes with each refresh."""

    family: bytes = field(repr=False)
    newest: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "RefreshToken":
        """Return the first token of a new family."""
        return cls(secrets.token_bytes(HALF_BYTES), secrets.token_bytes(HALF_BYTES))

    @classmethod
    def read(cls, text: str) -> "RefreshToken":
        """Parse a token. Raises InvalidRefreshTokenError."""
        if not _REFRESH_TOKEN.fullmatch(text):
            raise InvalidRefreshTokenError
        both = base64.urlsafe_b64decode(text + "==")
        return cls(both[:HALF_BYTES], both[HALF_BYTES:])

    def successor(self) -> "RefreshToken":
        """Return the next token of the family."""
        return RefreshToken(self.family, secrets.token_bytes(HALF_BYTES))

    def __str__(self) -> str:
        """Return the token as clients store it."""
        return base64.urlsafe_b64encode(self.family + self.newest).rstrip(b"=").decode()


def start_session(session: Session, user_id: UUID, session_context: SessionContext) -> StartedSession:
    """Add a session of an active user, in the caller's transaction.

    The caller holds a lock on the user, so that a concurrent password change ends this session too.
    """
    token = RefreshToken.new()
    end_surplus_sessions(session, user_id)
    row = SessionRow(
        user_id=user_id,
        family_hash=hash_half(token.family),
        refresh_hash=hash_half(token.newest),
        user_agent=session_context.user_agent,
        expires_at=func.now() + min(session_context.policy.idle, session_context.policy.lifetime),
    )
    session.add(row)
    session.flush()
    return StartedSession(row.id, user_id, str(token))


def refresh_session(sessions: sessionmaker[Session], refresh_token: str, policy: SessionPolicy) -> StartedSession:
    """Extend a session and return its next refresh token. Raises InvalidRefreshTokenError.

    A used token is in two hands, one of them possibly a thief's, so the session ends for both (RFC 9700 §4.14.2). The
    end is committed before the error is raised.
    """
    token = RefreshToken.read(refresh_token)
    with sessions.begin() as session:
        row = lock_session_family(session, token)
        if row and row.is_newest:
            successor = token.successor()
            rotate(session, row.id, successor, policy)
            return StartedSession(row.id, row.user_id, str(successor))
        if row:
            session.execute(delete(SessionRow).where(SessionRow.id == row.id))
            log.warning("refresh token reused, session ended", session_id=str(row.id), user_id=str(row.user_id))
    raise InvalidRefreshTokenError


def lock_session_family(session: Session, token: RefreshToken) -> Row[UUID, UUID, bool] | None:
    """Lock the token's session; return it and whether the token is its newest.

    A concurrent refresh waits here and then sees the new token.
    """
    return session.execute(
        select(
            SessionRow.id, SessionRow.user_id, (SessionRow.refresh_hash == hash_half(token.newest)).label("is_newest")
        )
        .where(SessionRow.family_hash == hash_half(token.family), is_alive())
        .with_for_update()
    ).one_or_none()


def rotate(session: Session, session_id: UUID, successor: RefreshToken, policy: SessionPolicy) -> None:
    """Store the next refresh token and extend the session within its lifetime."""
    session.execute(
        update(SessionRow)
        .where(SessionRow.id == session_id)
        .values(
            refresh_hash=hash_half(successor.newest),
            last_used_at=func.now(),
            expires_at=func.least(func.now() + policy.idle, SessionRow.created_at + policy.lifetime),
        )
        .execution_options(synchronize_session=False)
    )


def has_session(session: Session, session_id: UUID, user_id: UUID) -> bool:
    """Return whether the user's session exists: one lookup by key."""
    alive = select(SessionRow.id).where(SessionRow.id == session_id, SessionRow.user_id == user_id, is_alive())
    return session.scalar(alive) is not None


def lock_session(session: Session, session_id: UUID) -> None:
    """Keep the session from ending before the transaction does. Raises InvalidTokenError if it has ended."""
    held = select(SessionRow.id).where(SessionRow.id == session_id, is_alive())
    if session.scalar(held.with_for_update(read=True, key_share=True)) is None:
        raise InvalidTokenError


def listed_sessions(session: Session, user_id: UUID) -> list[ListedSession]:
    """Return the user's sessions, most recently used first."""
    rows = session.scalars(
        select(SessionRow)
        .where(SessionRow.user_id == user_id, is_alive())
        .order_by(SessionRow.last_used_at.desc(), SessionRow.id)
    )
    return [ListedSession(row.id, row.user_agent, row.created_at, row.last_used_at, row.expires_at) for row in rows]


def end_session(session: Session, session_id: UUID, user_id: UUID) -> None:
    """End the user's session. Raises UnknownSessionError, also for another user's."""
    ended = session.execute(
        sessions_of(user_id).where(SessionRow.id == session_id).returning(SessionRow.id)
    ).one_or_none()
    if ended is None:
        raise UnknownSessionError


def end_sessions_of(session: Session, user_id: UUID) -> None:
    """End all sessions of the user, in the caller's transaction.

    The caller has locked the user's row, so a concurrent sign-in waits and then finds the old password wrong.
    """
    session.execute(sessions_of(user_id))


def end_surplus_sessions(session: Session, user_id: UUID) -> None:
    """End the least recently used sessions, to make room for one more."""
    surplus = (
        select(SessionRow.id)
        .where(SessionRow.user_id == user_id)
        .order_by(SessionRow.last_used_at.desc())
        .offset(MAX_SESSIONS - 1)
    )
    session.execute(sessions_of(user_id).where(SessionRow.id.in_(surplus)))


def sessions_of(user_id: UUID) -> Delete:
    """Return the statement that deletes the user's sessions."""
    return delete(SessionRow).where(SessionRow.user_id == user_id).execution_options(synchronize_session=False)


def is_alive() -> ColumnElement[bool]:
    """Return the condition that a session has not expired."""
    return SessionRow.expires_at > func.now()


def hash_half(half: bytes) -> bytes:
    """Return the stored form of a half. SHA-256 suffices for 256 random bits."""
    return hashlib.sha256(half).digest()
