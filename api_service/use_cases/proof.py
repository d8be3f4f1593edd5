"""Asking a signed-in user again who they are, before what a stolen session must not be enough for."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from api_service import passwords
from api_service.errors import FreshSignInRequiredError, WrongPasswordError
from shared.models import SessionRow, User
from shared.vocabulary import UserStatus

FRESH = timedelta(minutes=10)
"""How long ago someone may have signed in to be believed without the password."""


@dataclass(frozen=True)
class Proof:
    """That someone is the user: they know the password behind that hash, or have just signed in."""

    user_id: UUID
    password_hash: str = field(repr=False)


def prove_by_password(sessions: sessionmaker[Session], user_id: UUID, password: str) -> Proof:
    """Return the proof that a password is. Raises WrongPasswordError. Hashing happens outside any transaction."""
    with sessions.begin() as session:
        password_hash = session.scalar(select(User.password_hash).where(User.id == user_id))
    if not passwords.is_password_of(password_hash or passwords.NOBODYS_HASH, password):
        raise WrongPasswordError
    return Proof(user_id, password_hash or passwords.NOBODYS_HASH)


def prove_by_fresh_session(sessions: sessionmaker[Session], user_id: UUID, session_id: UUID) -> Proof:
    """Return the proof that a session is which has just begun. Raises FreshSignInRequiredError."""
    is_fresh = SessionRow.created_at > func.now() - FRESH
    with sessions.begin() as session:
        password_hash = session.scalar(
            select(User.password_hash)
            .join(SessionRow, SessionRow.user_id == User.id)
            .where(User.id == user_id, SessionRow.id == session_id, is_fresh)
        )
    if password_hash is None:
        raise FreshSignInRequiredError
    return Proof(user_id, password_hash)


def locked_user(session: Session, proof: Proof) -> User:
    """Return the user, locked. Raises WrongPasswordError if the password has changed since it was proven."""
    is_theirs = User.id == proof.user_id, User.password_hash == proof.password_hash
    user = session.scalar(
        select(User).where(*is_theirs, User.status == UserStatus.ACTIVE).with_for_update(key_share=True)
    )
    if user is None:
        raise WrongPasswordError
    return user
