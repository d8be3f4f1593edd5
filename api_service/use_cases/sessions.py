"""Sessions: begun by whoever signs in, kept alive by refresh tokens that work once, and gone when they end."""

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
from shared.web.refusals import InvalidTokenError

MOST_SESSIONS = 100
"""Of one user; one more ends the one that was not used for longest."""

HALF_BYTES = 32
_REFRESH_TOKEN = re.compile(r"[A-Za-z0-9_-]{86}")

log = get_logger("api.sessions")


@dataclass(frozen=True)
class SessionTerms:
    """When a session ends by itself: unrefreshed for ``idle``, and in any case after ``lifetime``."""

    idle: timedelta
    lifetime: timedelta


@dataclass(frozen=True)
class Opening:
    """On what terms a session is to begin, and what its client calls itself."""

    terms: SessionTerms
    user_agent: str | None


@dataclass(frozen=True)
class BegunSession:
    """A session as its own client gets to know it: the only time that the refresh token is there."""

    id: UUID
    user_id: UUID
    refresh_token: str = field(repr=False)


@dataclass(frozen=True)
class ListedSession:
    """A session as its user may see it."""

    id: UUID
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class RefreshToken:
    """Its two halves: the first is the family's for life, the second is new at each refresh."""

    family: bytes = field(repr=False)
    newest: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> "RefreshToken":
        """Return the first of a new family."""
        return cls(secrets.token_bytes(HALF_BYTES), secrets.token_bytes(HALF_BYTES))

    @classmethod
    def read(cls, text: str) -> "RefreshToken":
        """Return the token that is written so. Raises InvalidRefreshTokenError."""
        if not _REFRESH_TOKEN.fullmatch(text):
            raise InvalidRefreshTokenError
        both = base64.urlsafe_b64decode(text + "==")
        return cls(both[:HALF_BYTES], both[HALF_BYTES:])

    def successor(self) -> "RefreshToken":
        """Return the family's next one."""
        return RefreshToken(self.family, secrets.token_bytes(HALF_BYTES))

    def __str__(self) -> str:
        """Return it as clients keep it."""
        return base64.urlsafe_b64encode(self.family + self.newest).rstrip(b"=").decode()


def begin_session(session: Session, user_id: UUID, opening: Opening) -> BegunSession:
    """Add a session of an active user's to the caller's transaction.

    Never commits. The caller holds a lock on the user, so that nothing which ends all their sessions,
    such as a new password, can pass by unseen.
    """
    token = RefreshToken.fresh()
    end_surplus(session, user_id)
    row = SessionRow(
        user_id=user_id,
        family_hash=hashed(token.family),
        refresh_hash=hashed(token.newest),
        user_agent=opening.user_agent,
        expires_at=func.now() + min(opening.terms.idle, opening.terms.lifetime),
    )
    session.add(row)
    session.flush()
    return BegunSession(row.id, user_id, str(token))


def refresh_session(sessions: sessionmaker[Session], refresh_token: str, terms: SessionTerms) -> BegunSession:
    """Let a session go on, and give it another refresh token. Raises InvalidRefreshTokenError.

    A token that was used already is in two hands, and nobody can tell which of them is the thief's: the
    session ends for both (RFC 9700 §4.14.2). That is committed before it is refused.
    """
    token = RefreshToken.read(refresh_token)
    with sessions.begin() as session:
        row = locked_family(session, token)
        if row and row.is_newest:
            successor = token.successor()
            rotate(session, row.id, successor, terms)
            return BegunSession(row.id, row.user_id, str(successor))
        if row:
            session.execute(delete(SessionRow).where(SessionRow.id == row.id))
            log.warning("refresh token used again, session ended", session_id=str(row.id), user_id=str(row.user_id))
    raise InvalidRefreshTokenError


def locked_family(session: Session, token: RefreshToken) -> Row[UUID, UUID, bool] | None:
    """Return the living session of the token's family and whether the token is its newest.

    Of two refreshes at once the second waits here, and then sees what the first has written.
    """
    return session.execute(
        select(SessionRow.id, SessionRow.user_id, (SessionRow.refresh_hash == hashed(token.newest)).label("is_newest"))
        .where(SessionRow.family_hash == hashed(token.family), is_alive())
        .with_for_update()
    ).one_or_none()


def rotate(session: Session, session_id: UUID, successor: RefreshToken, terms: SessionTerms) -> None:
    """Have the session know its new refresh token, and move its end, but not past its lifetime."""
    session.execute(
        update(SessionRow)
        .where(SessionRow.id == session_id)
        .values(
            refresh_hash=hashed(successor.newest),
            last_used_at=func.now(),
            expires_at=func.least(func.now() + terms.idle, SessionRow.created_at + terms.lifetime),
        )
        .execution_options(synchronize_session=False)
    )


def has_session(session: Session, session_id: UUID, user_id: UUID) -> bool:
    """Tell whether the user's session still goes on: one row by its key."""
    alive = select(SessionRow.id).where(SessionRow.id == session_id, SessionRow.user_id == user_id, is_alive())
    return session.scalar(alive) is not None


def hold_session(session: Session, session_id: UUID) -> None:
    """Keep the session from ending until the transaction does. Raises InvalidTokenError if it has ended."""
    held = select(SessionRow.id).where(SessionRow.id == session_id, is_alive())
    if session.scalar(held.with_for_update(read=True, key_share=True)) is None:
        raise InvalidTokenError


def listed_sessions(session: Session, user_id: UUID) -> list[ListedSession]:
    """Return the user's living sessions, the one used last first."""
    rows = session.scalars(
        select(SessionRow)
        .where(SessionRow.user_id == user_id, is_alive())
        .order_by(SessionRow.last_used_at.desc(), SessionRow.id)
    )
    return [ListedSession(row.id, row.user_agent, row.created_at, row.last_used_at, row.expires_at) for row in rows]


def end_session(session: Session, session_id: UUID, user_id: UUID) -> None:
    """End that session of the user's. Raises UnknownSessionError, also for another user's."""
    ended = session.execute(
        sessions_of(user_id).where(SessionRow.id == session_id).returning(SessionRow.id)
    ).one_or_none()
    if ended is None:
        raise UnknownSessionError


def end_sessions_of(session: Session, user_id: UUID) -> None:
    """End all of the user's sessions, in the caller's transaction: their access tokens work no longer, either.

    The caller has changed or locked the user's row before, so that whoever signs in meanwhile waits, and
    then finds the old password wrong.
    """
    session.execute(sessions_of(user_id))


def end_surplus(session: Session, user_id: UUID) -> None:
    """End what leaves no room for one more, so that a list of sessions has an end."""
    surplus = (
        select(SessionRow.id)
        .where(SessionRow.user_id == user_id)
        .order_by(SessionRow.last_used_at.desc())
        .offset(MOST_SESSIONS - 1)
    )
    session.execute(sessions_of(user_id).where(SessionRow.id.in_(surplus)))


def sessions_of(user_id: UUID) -> Delete:
    """Return the statement that ends the user's sessions."""
    return delete(SessionRow).where(SessionRow.user_id == user_id).execution_options(synchronize_session=False)


def is_alive() -> ColumnElement[bool]:
    """Return the condition that a session has not expired."""
    return SessionRow.expires_at > func.now()


def hashed(half: bytes) -> bytes:
    """Return what is kept of a half: of 256 random bits, SHA-256 gives nothing away."""
    return hashlib.sha256(half).digest()
