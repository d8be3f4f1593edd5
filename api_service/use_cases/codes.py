"""Trying a code: each try is counted before it is compared, and then the token is used up once."""

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
    """One try of a code, already counted."""

    token_id: UUID
    key_id: str


@dataclass(frozen=True)
class Spent:
    """The attempts that a try has cost, newest token first; used up where tokens live and none has one left."""

    attempts: tuple[Attempt, ...]
    is_used_up: bool


def spend_attempt(session: Session, *which: ColumnElement[bool]) -> Spent:
    """Count an attempt against each living token that ``which`` selects, decoys included.

    There can be several: where a message went another way too, whichever of them arrives, its code works.
    A try costs each of them one, so that two ways do not allow more tries than one.
    """
    # Locked in the order of ids, so that two tries at once wait for each other instead of deadlocking.
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
    return Spent(attempts, is_used_up=bool(rows) and not attempts)


def destinations(session: Session, spent: Spent) -> list[str]:
    """Return where the codes went, in canonical form.

    Apart from spending: of a code that nobody's account asked for, the time to find a user would tell so.
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
    """Count a try of a code against the addresses that it could have gone to. Raises TooManyRequestsError.

    In the transaction that spends the attempt: what is refused costs none.
    """
    limiter.spend([limiter.address(Limit.CODE_TRIES_PER_ADDRESS, each) for each in canonical], session.connection())


def right_attempt(spent: Spent, keys: SecretKeys, code: str) -> Attempt:
    """Return the attempt whose token has that code. Raises InvalidOrExpiredError.

    Without an attempt a code is derived all the same, to take as long.
    """
    right = [attempt for attempt in spent.attempts or (nobodys(keys),) if has_code(attempt, keys, code)]
    if not (spent.attempts and right):
        raise InvalidOrExpiredError
    return right[0]


def nobodys(keys: SecretKeys) -> Attempt:
    """Return an attempt at a token that does not exist."""
    return Attempt(token_id=uuid4(), key_id=keys.newest_id)


def has_code(attempt: Attempt, keys: SecretKeys, code: str) -> bool:
    """Tell whether the code is the token's; none is, once its key is gone from SECRET_KEYS."""
    try:
        return is_code_of(attempt.token_id, keys[attempt.key_id], code)
    except UnknownKeyError:
        return False


def use_up(session: Session, token: Token, purpose: Purpose) -> None:
    """Mark the token used. Raises InvalidOrExpiredError if it is already, has expired, or is for something else."""
    used = session.execute(
        update(Token)
        .where(Token.id == token.id, Token.purpose == purpose, is_living())
        .values(used_at=func.now())
        .returning(Token.id)
        .execution_options(synchronize_session=False)
    )
    if used.one_or_none() is None:
        raise InvalidOrExpiredError
