"""Activating: one pending user becomes active, the others under the same address retire."""

from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from api_service.errors import InvalidOrExpiredError, TooManyAttemptsError
from api_service.rate_limits import Limiter
from api_service.use_cases.addresses import has_same_address, proven_at
from api_service.use_cases.codes import count_tries, destinations, right_attempt, spend_attempt, use_up
from api_service.use_cases.notices import notice
from api_service.use_cases.tokens import OF_A_REGISTRATION
from shared.database import violated_constraint
from shared.enqueue import enqueue
from shared.models import Token, User
from shared.secrets import SecretKeys, token_id_of_link
from shared.vocabulary import Channel, Purpose, Template, UserStatus

ONE_HOLDER = ("uq_users_active_email", "uq_users_active_phone")


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
        spent = spend_attempt(session, Token.user_id == registration_id, Token.purpose.in_(OF_A_REGISTRATION))
        count_tries(session, limiter, *destinations(session, spent))
    if spent.is_used_up:
        raise TooManyAttemptsError
    return right_attempt(spent, keys, code).token_id


def activate(session: Session, token_id: UUID) -> UUID:
    """Use the token up, make its user active, retire the others and enqueue a welcome, in the caller's transaction.

    Returns the user's id. Never commits. Raises InvalidOrExpiredError, whatever the reason.
    """
    token = session.get(Token, token_id)
    if token is None or token.user_id is None:
        raise InvalidOrExpiredError
    user = locked_contender(session, token)
    use_up(session, token, Purpose.ACTIVATION)
    make_active(session, user, token)
    retire_others(session, user, token.channel)
    enqueue(session, notice(Template.WELCOME, user, token.channel))
    return user.id


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
