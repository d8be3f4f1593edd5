"""Activating: one pending user becomes active, the others under the same address retire."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import InvalidOrExpiredError, PasswordRequiredError, TooManyAttemptsError, WrongPasswordError
from api_service.passwords import NOBODYS_HASH, is_password_of
from api_service.rate_limits import Limiter
from api_service.use_cases.addresses import has_same_address, proven_at
from api_service.use_cases.codes import count_tries, destinations, right_attempt, spend_attempt, use_up
from api_service.use_cases.notices import notice
from api_service.use_cases.tokens import FOR_A_REGISTRATION, supersede_living
from shared.database import violated_constraint
from shared.enqueue import enqueue
from shared.models import Token, User
from shared.secrets import SecretKeys, token_id_of_link
from shared.vocabulary import Channel, Purpose, Template, UserStatus

ONE_HOLDER = ("uq_users_active_email", "uq_users_active_phone")


@dataclass(frozen=True)
class Confirmation:
    """That somebody reads what goes to a token's address; and whether they are known to be who registered it."""

    token_id: UUID
    is_by_registrant: bool


def confirmed_by_link(
    sessions: sessionmaker[Session], keys: SecretKeys, link_token: str, password: str | None = None
) -> Confirmation:
    """Return what the link confirms. Raises InvalidOrExpiredError, or WrongPasswordError.

    Whoever has the link need not have registered: that only the registration's password shows, normalised.
    Hashing happens outside any transaction.
    """
    token_id = token_id_of_link(link_token, keys)
    if token_id is None:
        raise InvalidOrExpiredError
    if password is None:
        return Confirmation(token_id, is_by_registrant=False)
    with sessions.begin() as session:
        password_hash = session.scalar(
            select(User.password_hash).join(Token, Token.user_id == User.id).where(Token.id == token_id)
        )
    if not is_password_of(password_hash or NOBODYS_HASH, password):
        raise WrongPasswordError
    return Confirmation(token_id, is_by_registrant=True)


def confirmed_by_code(
    sessions: sessionmaker[Session], keys: SecretKeys, limiter: Limiter, registration_id: UUID, code: str
) -> Confirmation:
    """Return what the code confirms: it is of the registration whose id only whoever registered was told.

    Raises InvalidOrExpiredError, TooManyAttemptsError, or TooManyRequestsError.

    The attempt is committed before the code is looked at, so that no crash and no crowd of
    simultaneous requests gets a guess for nothing.
    """
    with sessions.begin() as session:
        spent = spend_attempt(session, Token.user_id == registration_id, Token.purpose.in_(FOR_A_REGISTRATION))
        count_tries(session, limiter, *destinations(session, spent))
    if spent.is_used_up:
        raise TooManyAttemptsError
    return Confirmation(right_attempt(spent, keys, code).token_id, is_by_registrant=True)


def activate(session: Session, confirmation: Confirmation) -> UUID:
    """Use the token up, make its user active, retire the others and enqueue a welcome, in the caller's transaction.

    What is still to be sent of the registration is closed: a code that comes late would only puzzle who is active.
    Returns the user's id. Never commits. Raises InvalidOrExpiredError, whatever the reason; or
    PasswordRequiredError where the address has others waiting, and any of them may be who presses the link:
    somebody's who knew only the address must not become active with a password that they chose.
    """
    token = session.get(Token, confirmation.token_id)
    if token is None or token.user_id is None:
        raise InvalidOrExpiredError
    user, is_contested = locked_contender(session, token)
    supersede_living(session, user.id)
    use_up(session, token, Purpose.ACTIVATION)
    if is_contested and not confirmation.is_by_registrant:
        raise PasswordRequiredError
    make_active(session, user, token)
    retire_others(session, user, token.channel)
    enqueue(session, notice(Template.WELCOME, user, token.channel))
    return user.id


def locked_contender(session: Session, token: Token) -> tuple[User, bool]:
    """Return the token's user, locked with all others who are pending under the address, and whether there are any.

    In the order of their ids, and before anything is written, so that two activations of one
    address wait for each other instead of deadlocking. Raises InvalidOrExpiredError for one who
    is pending no longer, or erased.
    """
    user = session.get(User, token.user_id)
    if user is None:  # erased since the token was read
        raise InvalidOrExpiredError
    locked = pending_under(user, token.channel).order_by(User.id).with_for_update().cte("locked")
    # Anyone can have an address registered any number of times: the ids stay in the database.
    # They are counted, for a look whether one exists would stop there, and lock no further.
    is_user = func.count().filter(locked.c.id == user.id)
    found, contenders = session.execute(select(is_user, func.count()).select_from(locked)).one()
    if not found:
        raise InvalidOrExpiredError
    return user, contenders > 1


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
