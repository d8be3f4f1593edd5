"""Asking a signed-in user again who they are, before what a stolen session must not be enough for."""

from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from api_service import passwords
from api_service.access_tokens import SignedIn
from api_service.errors import FreshSignInRequiredError, WrongPasswordError
from api_service.use_cases.locking import is_active, locked_user
from api_service.use_cases.sessions import hold_session
from shared.models import SessionRow, User
from shared.web.refusals import InvalidTokenError

FRESH = timedelta(minutes=10)
"""How long ago someone may have signed in to be believed without the password."""


@dataclass(frozen=True)
class Proof:
    """That whoever is signed in is the user: they know the password behind that hash, or have just signed in."""

    holder: SignedIn
    password_hash: str = field(repr=False)


def prove_by_password(sessions: sessionmaker[Session], holder: SignedIn, password: str) -> Proof:
    """Return the proof that a password is. Hashing happens outside any transaction.

    Raises WrongPasswordError, or InvalidTokenError for one who was erased just now.
    """
    with sessions.begin() as session:
        password_hash = session.scalar(select(User.password_hash).where(User.id == holder.user_id))
    if password_hash is None:
        raise InvalidTokenError
    if not passwords.is_password_of(password_hash, password):
        raise WrongPasswordError
    return Proof(holder, password_hash)


def prove_by_fresh_session(sessions: sessionmaker[Session], holder: SignedIn) -> Proof:
    """Return the proof that a session is which has just begun.

    Raises FreshSignInRequiredError, or InvalidTokenError for one that has ended just now.
    """
    is_fresh = (SessionRow.created_at > func.now() - FRESH).label("is_fresh")
    with sessions.begin() as session:
        found = session.execute(
            select(User.password_hash, is_fresh)
            .join(SessionRow, SessionRow.user_id == User.id)
            .where(User.id == holder.user_id, SessionRow.id == holder.session_id)
        ).one_or_none()
    if found is None:
        raise InvalidTokenError
    if not found.is_fresh:
        raise FreshSignInRequiredError
    return Proof(holder, found.password_hash)


def locked_prover(session: Session, proof: Proof) -> User:
    """Return the user, locked, as ``locked_holder`` does, whose session goes first: another password ends others.

    Raises InvalidTokenError, or WrongPasswordError if the password has changed since it was proven.
    """
    user = locked_holder(session, proof.holder)
    if user.password_hash != proof.password_hash:
        raise WrongPasswordError
    return user


def locked_holder(session: Session, holder: SignedIn) -> User:
    """Return whoever is signed in, locked. Raises InvalidTokenError.

    Their session was looked up when the request came. It is held from here on: what ends sessions, such as a
    new password, has either been seen or waits.
    """
    user = locked_user(session, is_active(holder.user_id), otherwise=InvalidTokenError())
    hold_session(session, holder.session_id)
    return user
