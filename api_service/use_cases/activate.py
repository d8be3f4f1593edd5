"""Activate a pending user and retire others with the same address; or decline a registration."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import InvalidOrExpiredError, PasswordRequiredError, TooManyAttemptsError, WrongPasswordError
from api_service.rate_limits import Limiter
from api_service.security.hash_pool import HashPool
from api_service.security.passwords import DUMMY_HASH
from api_service.use_cases.sessions import end_sessions_of
from api_service.use_cases.tokens import (
    FOR_A_REGISTRATION,
    count_tries,
    destinations,
    end_tokens,
    id_in_link,
    living_tokens_of,
    matching_attempt,
    spend_attempt,
    supersede_living,
    supersede_messages,
    use_up,
)
from api_service.use_cases.users import has_same_address, lock_user, notice, proven_at
from shared.db.errors import violated_constraint
from shared.enqueue import enqueue
from shared.models import Token, User
from shared.secrets import LinkUse, SecretKeys
from shared.templates import Template
from shared.vocabulary import Channel, Purpose, UserStatus

ONE_HOLDER = ("uq_users_active_email", "uq_users_active_phone")


@dataclass(frozen=True)
class Confirmation:
    """Proof that someone reads the token's address, and whether that is known to be the registrant."""

    token_id: UUID
    is_by_registrant: bool


def confirmed_by_link(
    sessions: sessionmaker[Session], keys: SecretKeys, hashes: HashPool, link_token: str, password: str | None = None
) -> Confirmation:
    """Return the confirmation by a link. Raises InvalidOrExpiredError, WrongPasswordError or OverloadedError.

    Anyone who reads the mailbox has the link; only the registration's password identifies the registrant. Hashing
    happens outside transactions.
    """
    token_id = id_in_link(link_token, keys, LinkUse.ACTIVATE)
    if password is None:
        return Confirmation(token_id, is_by_registrant=False)
    with sessions.begin() as session:
        password_hash = session.scalar(
            select(User.password_hash).join(Token, Token.user_id == User.id).where(Token.id == token_id)
        )
    if not hashes.verify(password_hash or DUMMY_HASH, password):
        raise WrongPasswordError
    return Confirmation(token_id, is_by_registrant=True)


def confirmed_by_code(
    sessions: sessionmaker[Session], keys: SecretKeys, limiter: Limiter, registration_id: UUID, code: str
) -> Confirmation:
    """Return the confirmation by a code. Only the registrant knows the registration's id.

    Raises InvalidOrExpiredError, TooManyAttemptsError or TooManyRequestsError.

    The attempt is committed before the code is compared, so that neither crashes nor concurrent requests win free
    guesses.
    """
    with sessions.begin() as session:
        spent = spend_attempt(session, Token.user_id == registration_id, Token.purpose.in_(FOR_A_REGISTRATION))
        count_tries(session, limiter, *destinations(session, spent))
    if spent.is_used_up:
        raise TooManyAttemptsError
    return Confirmation(matching_attempt(spent, keys, code).token_id, is_by_registrant=True)


def activate(session: Session, confirmation: Confirmation, *, is_registrant_needed: bool = False) -> User:
    """Use the token, activate its user, retire other users and enqueue a welcome, in the caller's transaction.

    Activation supersedes pending codes, including those on the fallback channel, and ends the registration's limited
    sessions. Returns the user. Raises InvalidOrExpiredError. Raises PasswordRequiredError if a link alone confirmed the
    address, and the address has several pending users or ``is_registrant_needed``: a stranger who registered the
    address must not get an account whose password they chose.
    """
    token = session.get(Token, confirmation.token_id)
    if token is None or token.user_id is None:
        raise InvalidOrExpiredError
    user, is_contested = lock_contenders(session, token)
    supersede_living(session, user.id)
    use_up(session, token, Purpose.ACTIVATION)
    if (is_contested or is_registrant_needed) and not confirmation.is_by_registrant:
        raise PasswordRequiredError
    make_active(session, user, token)
    end_sessions_of(session, user.id)
    retire_others(session, user, token.channel)
    enqueue(session, notice(Template("welcome"), user, token.channel))
    return user


def lock_contenders(session: Session, token: Token) -> tuple[User, bool]:
    """Lock the token's user and all others pending with the address; return the user and whether there are others.

    Rows are locked in the order of ids before any write, so that concurrent activations wait instead of deadlocking.
    Raises InvalidOrExpiredError if the user is no longer pending.
    """
    user = session.get(User, token.user_id)
    if user is None:  # erased since the token was read
        raise InvalidOrExpiredError
    locked = pending_under(user, token.channel).order_by(User.id).with_for_update().cte("locked")
    # An address may be registered any number of times, so the ids stay in the database. Counting locks all rows; an
    # ``exists`` would stop at the first.
    is_user = func.count().filter(locked.c.id == user.id)
    found, contenders = session.execute(select(is_user, func.count()).select_from(locked)).one()
    if not found:
        raise InvalidOrExpiredError
    return user, contenders > 1


def make_active(session: Session, user: User, token: Token) -> None:
    """Activate the user and mark the token's address as proven."""
    proven = {"status": UserStatus.ACTIVE, "activated_at": func.now(), proven_at(token.channel).key: func.now()}
    try:
        session.execute(update(User).where(User.id == user.id).values(proven))
    except IntegrityError as error:
        # A user who registered after the locks were taken may have activated first. An earlier check would only
        # narrow that race.
        if violated_constraint(error) in ONE_HOLDER:
            raise InvalidOrExpiredError from error
        raise


def retire_others(session: Session, user: User, channel: Channel) -> None:
    """Retire the other pending users of the address. Their codes stop working, without explanation."""
    # Locked rows are skipped: they registered after the contenders were locked. Waiting could deadlock and is
    # unnecessary, because the address is now taken.
    others = pending_under(user, channel).where(User.id != user.id).with_for_update(skip_locked=True).cte("others")
    session.execute(
        update(User)
        .where(User.id == others.c.id)
        .values(status=UserStatus.RETIRED)
        .execution_options(synchronize_session=False)
    )


def pending_under(user: User, channel: Channel) -> Select[UUID]:
    """Select the ids of all pending users with the user's address on that channel."""
    return select(User.id).where(has_same_address(user, channel), User.status == UserStatus.PENDING)


def decline(session: Session, keys: SecretKeys, link_token: str) -> None:
    """Retire the link's registration with its codes, links, messages and limited sessions, in the caller's transaction.

    Raises InvalidOrExpiredError. After a mistaken decline, a resend restores the registration, but no session. A
    stranger gains only one of the few messages per day that the address may receive.
    """
    token = session.get(Token, id_in_link(link_token, keys, LinkUse.ACTIVATE))
    if token is None:
        raise InvalidOrExpiredError
    is_pending = (User.id == token.user_id) & (User.status == UserStatus.PENDING)
    user = lock_user(session, is_pending, otherwise=InvalidOrExpiredError())
    living = living_tokens_of(session, user.id)
    if token not in living:
        raise InvalidOrExpiredError
    supersede_messages(session, *living)
    end_tokens(session, living)
    end_sessions_of(session, user.id)
    user.status = UserStatus.RETIRED
