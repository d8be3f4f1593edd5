"""Operators' tokens: 256 random bits, shown once and stored as their SHA-256.

Only the schema's owner creates tokens. If the console's role could, an intruder in the console could create access
that outlives the intrusion. The console's role may revoke tokens, which only removes access.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from operator_console.actions.audit import Action, AuditContext
from operator_console.views import from_row
from shared.models import OperatorToken

PREFIX = "so_"
"""Lets secret scanners and people recognize a leaked token."""
RANDOM_BYTES = 32
USE_RECORDED_EVERY = timedelta(minutes=1)
"""How often ``last_used_at`` is written at most; each refresh of a page would write it otherwise."""


class Scope(StrEnum):
    """The permissions of a token."""

    READ = "read"
    ACT = "act"
    REVEAL = "reveal"
    CREDENTIALS = "credentials"


@dataclass(frozen=True)
class TokenView:
    """A token without its secret."""

    id: UUID
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


def create_token(
    session: Session, name: str, scopes: tuple[Scope, ...], lifetime: timedelta, audit: AuditContext
) -> tuple[TokenView, str]:
    """Add a token and return it with its secret. Only the schema's owner may. The caller commits."""
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    row = OperatorToken(
        name=name,
        token_hash=hash_of(secret),
        scopes=[scope.value for scope in scopes],
        expires_at=func.now() + lifetime,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    after = {"token_id": str(row.id), "name": name, "scopes": row.scopes}
    session.add(audit.row(Action.CREATE_TOKEN, after=after))
    return _view(row), secret


def revoke_token(session: Session, token_id: UUID, audit: AuditContext) -> bool:
    """Revoke a token; return False if it is unknown or was revoked before. The caller commits."""
    is_revoked = bool(session.scalar(select(func.signpost_revoke_operator_token(token_id))))
    if is_revoked:
        session.add(audit.row(Action.REVOKE_TOKEN, before={"token_id": str(token_id)}))
    return is_revoked


def list_tokens(session: Session) -> tuple[TokenView, ...]:
    """Return all tokens, newest first."""
    query = select(OperatorToken).order_by(OperatorToken.created_at.desc(), OperatorToken.id)
    return tuple(_view(row) for row in session.scalars(query))


def authenticate(session: Session, secret: str) -> TokenView | None:
    """Return the token with that secret if it is valid, and record its use. The caller commits.

    The lookup compares hashes, so its duration does not depend on the secret.
    """
    is_valid = (OperatorToken.expires_at > func.now(), OperatorToken.revoked_at.is_(None))
    found = session.scalars(select(OperatorToken).where(OperatorToken.token_hash == hash_of(secret), *is_valid))
    row = found.one_or_none()
    if row is None:
        return None
    view = _view(row)
    _record_use(session, row.id)
    return view


def hash_of(secret: str) -> bytes:
    """Return the hash that is stored. 256 random bits cannot be guessed, so a fast hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _record_use(session: Session, token_id: UUID) -> None:
    is_stale = or_(OperatorToken.last_used_at.is_(None), OperatorToken.last_used_at < func.now() - USE_RECORDED_EVERY)
    session.execute(
        update(OperatorToken)
        .where(OperatorToken.id == token_id, is_stale)
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _view(row: OperatorToken) -> TokenView:
    return from_row(TokenView, row, scopes=tuple(map(Scope, row.scopes)))
