"""Ask a signed-in user for the password or a fresh session, for actions that a stolen session must not allow."""

from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import FreshSignInRequiredError, WrongPasswordError
from api_service.security.access_tokens import CurrentUser
from api_service.security.hash_pool import HashPool
from api_service.use_cases.security_events import Client, forget_wrong_passwords, note_wrong_password
from api_service.use_cases.sessions import lock_session
from api_service.use_cases.users import is_active, lock_user
from shared.models import SessionRow, User
from shared.web.problems import InvalidTokenError

FRESH = timedelta(minutes=10)
"""How recent a sign-in must be to replace the password."""


@dataclass(frozen=True)
class Reauthentication:
    """Evidence that the signed-in user knows the password with this hash, or has just signed in."""

    current_user: CurrentUser
    password_hash: str = field(repr=False)


def reauthenticate_by_password(
    sessions: sessionmaker[Session], current_user: CurrentUser, password: str, hashes: HashPool, client: Client
) -> Reauthentication:
    """Check the password, and return the evidence. Hashing happens outside transactions.

    A wrong password counts as one at a sign-in, for the notice about wrong passwords.

    Raises WrongPasswordError, or InvalidTokenError if the user was erased concurrently.
    """
    with sessions.begin() as session:
        password_hash = session.scalar(select(User.password_hash).where(User.id == current_user.user_id))
    if password_hash is None:
        raise InvalidTokenError
    is_right = hashes.verify(password_hash, password)
    with sessions.begin() as session:
        if is_right:
            forget_wrong_passwords(session, current_user.user_id)
        else:
            note_wrong_password(session, current_user.user_id, client)
    if not is_right:
        raise WrongPasswordError
    return Reauthentication(current_user, password_hash)


def reauthenticate_by_fresh_session(sessions: sessionmaker[Session], current_user: CurrentUser) -> Reauthentication:
    """Check that the session is fresh, and return the evidence.

    Raises FreshSignInRequiredError, or InvalidTokenError if the session ended concurrently.
    """
    is_fresh = (SessionRow.created_at > func.now() - FRESH).label("is_fresh")
    with sessions.begin() as session:
        found = session.execute(
            select(User.password_hash, is_fresh)
            .join(SessionRow, SessionRow.user_id == User.id)
            .where(User.id == current_user.user_id, SessionRow.id == current_user.session_id)
        ).one_or_none()
    if found is None:
        raise InvalidTokenError
    if not found.is_fresh:
        raise FreshSignInRequiredError
    return Reauthentication(current_user, found.password_hash)


def lock_reauthenticated_user(session: Session, reauthentication: Reauthentication) -> User:
    """Lock and return the user. Raises InvalidTokenError.

    Raises WrongPasswordError if the password has changed since. The session is checked first, because a new password
    also ends sessions.
    """
    user = lock_signed_in_user(session, reauthentication.current_user)
    if user.password_hash != reauthentication.password_hash:
        raise WrongPasswordError
    return user


def lock_signed_in_user(session: Session, current_user: CurrentUser) -> User:
    """Lock and return the signed-in user and their session. Raises InvalidTokenError.

    The session was checked when the request arrived. Locking it makes later transactions that end sessions wait.
    """
    user = lock_user(session, is_active(current_user.user_id), otherwise=InvalidTokenError())
    lock_session(session, current_user.session_id)
    return user
