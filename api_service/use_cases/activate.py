"""Activating: one pending user becomes active, the others under the same address retire."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import InvalidOrExpiredError, TooManyAttemptsError
from api_service.rate_limits import Limit, Limiter
from api_service.use_cases.addresses import has_same_address, proven_at
from shared.database import violated_constraint
from shared.models import Token, User
from shared.secrets import SecretKeys, UnknownKeyError, is_code_of, token_id_of_link
from shared.vocabulary import Channel, Purpose, UserStatus

ONE_HOLDER = ("uq_users_active_email", "uq_users_active_phone")


@dataclass(frozen=True)
class Attempt:
    """One try of a code, already counted."""

    token_id: UUID
    key_id: str
    address: str = field(default="", repr=False)


def activate_by_link(sessions: sessionmaker[Session], keys: SecretKeys, link_token: str) -> None:
    """Activate the user whom the link was sent to. Raises InvalidOrExpiredError."""
    with sessions.begin() as session:
        activate(session, token_of_link(keys, link_token))


def token_of_link(keys: SecretKeys, link_token: str) -> UUID:
    """Return the id of the token that the link was made of. Raises InvalidOrExpiredError."""
    token_id = token_id_of_link(link_token, keys)
    if token_id is None:
        raise InvalidOrExpiredError
    return token_id


def token_of_code(
    sessions: sessionmaker[Session], keys: SecretKeys, limiter: Limiter, registration_id: UUID, code: str
) -> UUID:
    """Return the id of the registration's token that has this code.

    Raises InvalidOrExpiredError, TooManyAttemptsError, or TooManyRequestsError.

    The attempt is committed before the code is looked at, so that no crash and no crowd of
    simultaneous requests gets a guess for nothing.
    """
    with sessions.begin() as session:
        attempts = spend_attempt(session, registration_id)
        tries = [limiter.address(Limit.CODE_TRIES_PER_ADDRESS, attempt.address) for attempt in attempts]
        limiter.spend(tries, session.connection())
    # Without an attempt a code is derived all the same, to take as long.
    right = [attempt for attempt in attempts or [nobodys(keys)] if has_code(attempt, keys, code)]
    if not (attempts and right):
        raise InvalidOrExpiredError
    return right[0].token_id


def spend_attempt(session: Session, registration_id: UUID) -> list[Attempt]:
    """Count an attempt against each of the registration's living tokens, decoys included; newest first.

    There are several where a message went another way too: whichever of them arrives, its code works.
    A try costs each of them one, so that two ways do not allow more tries than one. Returns none if no
    token lives. Raises TooManyAttemptsError if none of them has an attempt left.
    """
    # Locked in the order of ids, so that two tries at once wait for each other instead of deadlocking.
    living = (
        select(Token.id, Token.channel, Token.created_at)
        .where(Token.user_id == registration_id, Token.used_at.is_(None), Token.expires_at > func.now())
        .order_by(Token.id)
        .with_for_update()
        .cte("living")
    )
    spent = (
        update(Token)
        .where(Token.id == living.c.id, Token.attempts_left > 0)
        .values(attempts_left=Token.attempts_left - 1)
        .returning(Token.id, Token.key_id)
        .cte("spent")
    )
    rows = session.execute(
        select(living.c.id, living.c.channel, spent.c.key_id, User.email_canonical, User.phone)
        .select_from(living)
        .join(User, User.id == registration_id)
        .outerjoin(spent, spent.c.id == living.c.id)
        .order_by(living.c.created_at.desc())
    ).all()
    attempts = [_attempt(row) for row in rows if row.key_id is not None]
    if rows and not attempts:
        raise TooManyAttemptsError
    return attempts


def _attempt(row: Row[Any]) -> Attempt:
    address = row.email_canonical if row.channel is Channel.EMAIL else row.phone
    return Attempt(token_id=row.id, key_id=row.key_id, address=address or "")


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
    user = locked_contender(session, token)
    use_up(session, token)
    make_active(session, user, token)
    retire_others(session, user, token.channel)


def locked_contender(session: Session, token: Token) -> User:
    """Return the token's user, locked with all others who are pending under the address.

    In the order of their ids, and before anything is written, so that two activations of one
    address wait for each other instead of deadlocking. Raises InvalidOrExpiredError for one who
    is pending no longer.
    """
    user = session.get_one(User, token.user_id)
    locked = pending_under(user, token.channel).order_by(User.id).with_for_update().cte("locked")
    # Anyone can have an address registered any number of times: the ids stay in the database.
    # They are counted, for a look whether one exists would stop there, and lock no further.
    found = session.scalar(select(func.count()).select_from(locked).where(locked.c.id == user.id))
    if not found:
        raise InvalidOrExpiredError
    return user


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


def retire_others(session: Session, user: User, channel: Channel) -> None:
    """Retire the others: their codes work no longer, and nothing they see tells them why."""
    # Whoever is locked by someone else registered after the contenders were locked. Waiting could
    # deadlock, and is not needed: the address is taken when their turn comes.
    others = pending_under(user, channel).where(User.id != user.id).with_for_update(skip_locked=True).cte("others")
    session.execute(
        update(User)
        .where(User.id == others.c.id)
        .values(status=UserStatus.RETIRED)
        .execution_options(synchronize_session=False)
    )


def pending_under(user: User, channel: Channel) -> Select[UUID]:
    """Select the ids of all who are pending under the user's address on that channel."""
    return select(User.id).where(has_same_address(user, channel), User.status == UserStatus.PENDING)
