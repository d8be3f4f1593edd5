"""Sessions of the page: a row for each browser, and in the browser a cookie that means nothing by itself.

The row names the token that was signed in with. So a session ends with its token, whether that expires or
is revoked, and both of its times are the database's.
"""

import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from shared.models import ConsoleSession, OperatorToken

COOKIE_BYTES = 32
NOTED_AFTER = timedelta(seconds=15)
"""Being used is written down at most so often: a page view need not cost a write."""

_CSRF_LABEL = b"signpost/console/csrf/1:"


@dataclass(frozen=True)
class SessionTerms:
    """How long a session goes on unused, and at the most."""

    idle: timedelta
    lifetime: timedelta


def begin_session(session: Session, token_id: UUID, terms: SessionTerms) -> str:
    """Add a session of the token's holder and return its cookie; take those away that have ended. Never commits."""
    cookie = secrets.token_urlsafe(COOKIE_BYTES)
    session.execute(delete(ConsoleSession).where(_has_ended(terms)))
    session.execute(insert(ConsoleSession).values(id=_id_of(cookie), token_id=token_id))
    return cookie


def token_of(session: Session, cookie: str, terms: SessionTerms) -> OperatorToken | None:
    """Return the token that the cookie's session rests on; None where either has ended."""
    return session.scalars(
        select(OperatorToken)
        .join(ConsoleSession, ConsoleSession.token_id == OperatorToken.id)
        .where(
            ConsoleSession.id == _id_of(cookie),
            ~_has_ended(terms),
            OperatorToken.revoked_at.is_(None),
            OperatorToken.expires_at > func.now(),
        )
    ).one_or_none()


def note_use(session: Session, cookie: str) -> None:
    """Write down that somebody uses the session, unless that was just done."""
    session.execute(
        update(ConsoleSession)
        .where(and_(ConsoleSession.id == _id_of(cookie), ConsoleSession.used_at < func.now() - NOTED_AFTER))
        .values(used_at=func.now())
    )


def end_session(session: Session, cookie: str) -> None:
    """Take the session away."""
    session.execute(delete(ConsoleSession).where(ConsoleSession.id == _id_of(cookie)))


def csrf_token_of(cookie: str) -> str:
    """Return what each form of the session carries, and no other site can know: it is derived from the cookie."""
    return urlsafe_b64encode(sha256(_CSRF_LABEL + cookie.encode()).digest()).decode().rstrip("=")


def is_csrf_token(offered: str, cookie: str) -> bool:
    """Tell whether that is the session's, in a time that tells nothing of how much of it is right."""
    return compare_digest(offered.encode(), csrf_token_of(cookie).encode())


def _has_ended(terms: SessionTerms) -> ColumnElement[bool]:
    return or_(
        ConsoleSession.used_at < func.now() - terms.idle,
        ConsoleSession.started_at < func.now() - terms.lifetime,
    )


def _id_of(cookie: str) -> bytes:
    return sha256(cookie.encode()).digest()
