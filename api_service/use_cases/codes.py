"""Check codes: count each attempt before comparing, and use a token once."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from api_service.errors import InvalidOrExpiredError
from api_service.rate_limits import Limit, Limiter
from api_service.use_cases.tokens import is_living
from shared.addresses import canonical_address
from shared.models import Token, User
from shared.secrets import SecretKeys, UnknownKeyError, is_code_of
from shared.vocabulary import Channel, Purpose


@dataclass(frozen=True)
class Attempt:
    """An attempt that has been counted."""

    token_id: UUID
    key_id: str


@dataclass(frozen=True)
class SpentAttempts:
    """The attempts of one try, newest token first; used up if there are live tokens without attempts left."""

    attempts: tuple[Attempt, ...]
    is_used_up: bool


def spend_attempt(session: Session, *which: ColumnElement[bool]) -> SpentAttempts:
    """Count an attempt against each live token selected, decoys included.

    There can be one token per channel, and the code of either works. A try costs each of them an attempt, so two
    channels do not double the guesses.
    """
    # Locked in the order of ids, so that concurrent tries wait instead of deadlocking.
    living = (
        select(Token.id, Token.created_at).where(*which, is_living()).order_by(Token.id).with_for_update().cte("living")
    )
    spent = (
        update(Token)
        .where(Token.id == living.c.id, Token.attempts_left > 0)
        .values(attempts_left=Token.attempts_left - 1)
        .returning(Token.id, Token.key_id)
        .cte("spent")
    )
    rows = session.execute(
        select(living.c.id, spent.c.key_id)
        .select_from(living)
        .outerjoin(spent, spent.c.id == living.c.id)
        .order_by(living.c.created_at.desc())
    ).all()
    attempts = tuple(Attempt(row.id, row.key_id) for row in rows if row.key_id is not None)
    return SpentAttempts(attempts, is_used_up=bool(rows) and not attempts)


def destinations(session: Session, spent: SpentAttempts) -> list[str]:
    """Return the canonical addresses to which the codes went.

    Separate from ``spend_attempt``: for resets, the time to find the user would reveal the account.
    """
    users_own = case((Token.channel == Channel.EMAIL, User.email), else_=User.phone)
    found = session.scalars(
        select(func.coalesce(Token.new_address, users_own))
        .select_from(Token)
        .outerjoin(User, User.id == Token.user_id)
        .where(Token.id.in_([attempt.token_id for attempt in spent.attempts]))
    )
    return [canonical_address(address) for address in found if address]


def count_tries(session: Session, limiter: Limiter, *canonical: str) -> None:
    """Count a try against the addresses. Raises TooManyRequestsError.

    In the transaction that spends the attempt, so that a rejected request costs none.
    """
    limiter.spend([limiter.address(Limit.CODE_TRIES_PER_ADDRESS, each) for each in canonical], session.connection())


def matching_attempt(spent: SpentAttempts, keys: SecretKeys, code: str) -> Attempt:
    """Return the attempt whose token has this code. Raises InvalidOrExpiredError.

    Without an attempt it derives a dummy code, which takes as long.
    """
    right = [attempt for attempt in spent.attempts or (dummy_attempt(keys),) if has_code(attempt, keys, code)]
    if not (spent.attempts and right):
        raise InvalidOrExpiredError
    return right[0]


def dummy_attempt(keys: SecretKeys) -> Attempt:
    """Return an attempt at a token that does not exist."""
    return Attempt(token_id=uuid4(), key_id=keys.newest_id)


def has_code(attempt: Attempt, keys: SecretKeys, code: str) -> bool:
    """Return whether the code is the token's; false once its key has left SECRET_KEYS."""
    try:
        return is_code_of(attempt.token_id, keys[attempt.key_id], code)
    except UnknownKeyError:
        return False


def use_up(session: Session, token: Token, purpose: Purpose) -> None:
    """Mark the token as used. Raises InvalidOrExpiredError if it is used, expired or for another purpose."""
    used = session.execute(
        update(Token)
        .where(Token.id == token.id, Token.purpose == purpose, is_living())
        .values(used_at=func.now())
        .returning(Token.id)
        .execution_options(synchronize_session=False)
    )
    if used.one_or_none() is None:
        raise InvalidOrExpiredError
