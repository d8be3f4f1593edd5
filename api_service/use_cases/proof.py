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
    """Return the proof that a password is. Raises WrongPasswordError. Hashing happens outside any transaction."""
    with sessions.begin() as session:
        password_hash = session.scalar(select(User.password_hash).where(User.id == holder.user_id))
    if not passwords.is_password_of(password_hash or passwords.NOBODYS_HASH, password):
        raise WrongPasswordError
    return Proof(holder, password_hash or passwords.NOBODYS_HASH)


def prove_by_fresh_session(sessions: sessionmaker[Session], holder: SignedIn) -> Proof:
    """Return the proof that a session is which has just begun. Raises FreshSignInRequiredError."""
    is_fresh = SessionRow.created_at > func.now() - FRESH
    with sessions.begin() as session:
        password_hash = session.scalar(
            select(User.password_hash)
            .join(SessionRow, SessionRow.user_id == User.id)
            .where(User.id == holder.user_id, SessionRow.id == holder.session_id, is_fresh)
        )
    if password_hash is None:
        raise FreshSignInRequiredError
    return Proof(holder, password_hash)


def locked_prover(session: Session, proof: Proof) -> User:
    """Return the user, locked, as ``locked_holder`` does.

    Raises WrongPasswordError if the password has changed since it was proven.
    """
    has_it_still = is_active(proof.holder.user_id) & (User.password_hash == proof.password_hash)
    user = locked_user(session, has_it_still, otherwise=WrongPasswordError())
    hold_session(session, proof.holder.session_id)
    return user


def locked_holder(session: Session, holder: SignedIn) -> User:
    """Return whoever is signed in, locked. Raises InvalidTokenError.

    Their session was looked up when the request came. It is held from here on: what ends sessions, such as a
    new password, has either been seen or waits.
    """
    user = locked_user(session, is_active(holder.user_id), otherwise=InvalidTokenError())
    hold_session(session, holder.session_id)
    return user
