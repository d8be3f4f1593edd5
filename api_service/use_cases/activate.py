"""Activating: one pending user becomes active, the others under the same address retire."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import InvalidOrExpiredError, TooManyAttemptsError
from api_service.use_cases.addresses import has_same_address, proven_at
from shared.database import violated_constraint
from shared.models import Token, User
from shared.secrets import SecretKeys, UnknownKeyError, is_code_of, token_id_of_link
from shared.vocabulary import Purpose, UserStatus

ONE_HOLDER = ("uq_users_active_email", "uq_users_active_phone")


@dataclass(frozen=True)
class Attempt:
    """One try of a code, already counted."""

    token_id: UUID
    key_id: str


def activate_by_link(sessions: sessionmaker[Session], keys: SecretKeys, link_token: str) -> None:
    """Activate the user whom the link was sent to. Raises InvalidOrExpiredError."""
    token_id = token_id_of_link(link_token, keys)
    if token_id is None:
        raise InvalidOrExpiredError
    with sessions.begin() as session:
        activate(session, token_id)


def activate_by_code(sessions: sessionmaker[Session], keys: SecretKeys, registration_id: UUID, code: str) -> None:
    """Activate the user whom the code was sent to. Raises InvalidOrExpiredError or TooManyAttemptsError.

    The attempt is committed before the code is looked at, so that no crash and no crowd of
    simultaneous requests gets a guess for nothing.
    """
    with sessions.begin() as session:
        attempt = spend_attempt(session, registration_id)
    # Without an attempt a code is derived all the same, to take as long.
    is_right = has_code(attempt or nobodys(keys), keys, code)
    if attempt is None or not is_right:
        raise InvalidOrExpiredError
    with sessions.begin() as session:
        activate(session, attempt.token_id)


def spend_attempt(session: Session, registration_id: UUID) -> Attempt | None:
    """Count an attempt against the registration's newest living token, decoys included.

    Returns None if it has none. Raises TooManyAttemptsError if no attempt is left.
    """
    newest = (
        select(Token.id)
        .where(Token.user_id == registration_id, Token.used_at.is_(None), Token.expires_at > func.now())
        .order_by(Token.created_at.desc(), Token.id)
        .limit(1)
        .cte("newest")
    )
    spent = (
        update(Token)
        .where(Token.id == select(newest.c.id).scalar_subquery(), Token.attempts_left > 0)
        .values(attempts_left=Token.attempts_left - 1)
        .returning(Token.id, Token.key_id)
        .cte("spent")
    )
    row = session.execute(select(newest.c.id, spent.c.key_id).outerjoin(spent, spent.c.id == newest.c.id)).one_or_none()
    if row is None:
        return None
    if row.key_id is None:
        raise TooManyAttemptsError
    return Attempt(token_id=row.id, key_id=row.key_id)


def nobodys(keys: SecretKeys) -> Attempt:
    """Return an attempt at a token that does not exist."""
    return Attempt(token_id=uuid4(), key_id=keys.newest_id)


def has_code(attempt: Attempt, keys: SecretKeys, code: str) -> bool:
    """Tell whether the code is the token's; none is, once its key is gone from SECRET_KEYS."""
    try:
        return is_code_of(attempt.token_id, keys[attempt.key_id], code)
    except UnknownKeyError:
        return False


def activate(session: Session, token_id: UUID) -> None:
    """Use the token up, make its user active and retire the others, in the caller's transaction.

    Never commits. Raises InvalidOrExpiredError, whatever the reason.
    """
    token = session.get(Token, token_id)
    if token is None:
        raise InvalidOrExpiredError
    user, others = locked_contenders(session, token)
    use_up(session, token)
    make_active(session, user, token)
    retire(session, others)


def locked_contenders(session: Session, token: Token) -> tuple[User, Sequence[UUID]]:
    """Return the token's user and the ids of all others who are pending under the address, locked.

    In the order of their ids, and before anything is written, so that two activations of one
    address wait for each other instead of deadlocking.
    """
    user = session.get_one(User, token.user_id)
    pending = session.scalars(
        select(User)
        .where(has_same_address(user, token.channel), User.status == UserStatus.PENDING)
        .order_by(User.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if user not in pending:
        raise InvalidOrExpiredError
    return user, [other.id for other in pending if other is not user]


def use_up(session: Session, token: Token) -> None:
    """Mark the token used, unless it is already, has expired, or is a decoy."""
    used = session.execute(
        update(Token)
        .where(
            Token.id == token.id,
            Token.purpose == Purpose.ACTIVATION,
            Token.used_at.is_(None),
            Token.expires_at > func.now(),
        )
        .values(used_at=func.now())
        .returning(Token.id)
        .execution_options(synchronize_session=False)
    )
    if used.one_or_none() is None:
        raise InvalidOrExpiredError


def make_active(session: Session, user: User, token: Token) -> None:
    """Make the user active, with the address proven that the token went to, and no other."""
    proven = {"status": UserStatus.ACTIVE, "activated_at": func.now(), proven_at(token.channel).key: func.now()}
    try:
        session.execute(update(User).where(User.id == user.id).values(proven))
    except IntegrityError as error:
        # A user who registered after the contenders were locked can have come first. Asking
        # instead of trying would only narrow that gap.
        if violated_constraint(error) in ONE_HOLDER:
            raise InvalidOrExpiredError from error
        raise


def retire(session: Session, others: Sequence[UUID]) -> None:
    """Retire the others: their codes work no longer, and nothing they see tells them why."""
    session.execute(update(User).where(User.id.in_(others)).values(status=UserStatus.RETIRED))
