"""Operators' tokens: 256 random bits, shown once, of which the database has the SHA-256.

Only the schema's owner makes them: were it the console's role, whoever breaks into the console could give out rights
that outlive the break-in. Revoking is open to the console: it can only take away.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from operator_console.acting.audit import Act, Action, Change, note
from shared.models import OperatorToken

PREFIX = "so_"
"""By which scanners of leaked secrets, and people, know what they have found."""
RANDOM_BYTES = 32
USE_NOTED_EVERY = timedelta(minutes=1)
"""When a token was last used is written no more often: a page that looks every few seconds would write as often."""


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    ACT = "act"
    REVEAL = "reveal"


@dataclass(frozen=True)
class TokenView:
    """A token as it may be shown: never itself."""

    id: UUID
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


def create_token(
    session: Session, name: str, scopes: tuple[Scope, ...], lifetime: timedelta, act: Act
) -> tuple[TokenView, str]:
    """Add a token and return it with the text to show once. Never commits; only the schema's owner may."""
    text = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    row = OperatorToken(
        name=name,
        token_hash=hash_of(text),
        scopes=[scope.value for scope in scopes],
        expires_at=func.now() + lifetime,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    after = {"token_id": str(row.id), "name": name, "scopes": row.scopes}
    note(session, Action.CREATE_TOKEN, act, Change(after=after))
    return _view(row), text


def revoke_token(session: Session, token_id: UUID, act: Act) -> bool:
    """End a token at once; False if there is none, or it is revoked already. Never commits."""
    is_revoked = bool(session.scalar(select(func.signpost_revoke_operator_token(token_id))))
    if is_revoked:
        note(session, Action.REVOKE_TOKEN, act, Change(before={"token_id": str(token_id)}))
    return is_revoked


def list_tokens(session: Session) -> tuple[TokenView, ...]:
    """Return all tokens, the newest first."""
    query = select(OperatorToken).order_by(OperatorToken.created_at.desc(), OperatorToken.id)
    return tuple(_view(row) for row in session.scalars(query))


def authenticate(session: Session, text: str) -> TokenView | None:
    """Return the token that the text is, unless it has expired or was revoked; its use is noted. Never commits.

    Found by its hash, so that comparing takes no time that would tell of it.
    """
    is_valid = (OperatorToken.expires_at > func.now(), OperatorToken.revoked_at.is_(None))
    found = session.scalars(select(OperatorToken).where(OperatorToken.token_hash == hash_of(text), *is_valid))
    row = found.one_or_none()
    if row is None:
        return None
    view = _view(row)
    _note_use(session, row.id)
    return view


def hash_of(text: str) -> bytes:
    """Return what is kept of a token: 256 random bits need no slow hash, since nobody can try them all."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _note_use(session: Session, token_id: UUID) -> None:
    is_stale = or_(OperatorToken.last_used_at.is_(None), OperatorToken.last_used_at < func.now() - USE_NOTED_EVERY)
    session.execute(
        update(OperatorToken)
        .where(OperatorToken.id == token_id, is_stale)
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _view(row: OperatorToken) -> TokenView:
    return TokenView(
        id=row.id,
        name=row.name,
        scopes=tuple(Scope(scope) for scope in row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
