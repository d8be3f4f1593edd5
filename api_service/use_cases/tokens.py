"""Issue tokens of registrations, compose the messages with their codes, and check codes.

An attempt is counted before its code is compared, and a token works once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Insert, Interval, Select, bindparam, case, func, insert, select, update
from sqlalchemy.orm import Session

from api_service.errors import InvalidOrExpiredError
from api_service.rate_limits import Limit, Limiter
from api_service.use_cases.users import Addressed, NewUser, address_of, has_address, is_taken, proven_at, reached_at
from shared.addresses import canonical_address
from shared.enqueue import NewFallback, NewMessage
from shared.models import Token, User
from shared.secrets import LinkUse, SecretKeys, UnknownKeyError, is_code_of, token_id_of_link
from shared.templates import Template
from shared.vocabulary import Channel, Purpose

FOR_A_REGISTRATION = (Purpose.ACTIVATION, Purpose.DECOY)


@dataclass(frozen=True)
class TokenPolicy:
    """Lifetimes, attempts, cooldown and fallbacks of tokens; ``fallbacks`` maps a channel to its fallback channel."""

    lifetimes: Mapping[Channel, timedelta]
    attempts: int
    resend_cooldown: timedelta
    key_id: str
    fallback_after: timedelta = timedelta(0)
    fallbacks: Mapping[Channel, Channel] = field(default_factory=dict)

    def fallback_of(self, channel: Channel) -> NewFallback | None:
        """Return the fallback of a message on that channel, if any."""
        second = self.fallbacks.get(channel)
        return None if second is None else NewFallback(second, self.fallback_after, self.lifetimes[second])


@dataclass(frozen=True)
class IssuedToken:
    """The properties of a token that was added."""

    id: UUID
    channel: Channel
    purpose: Purpose
    key_id: str
    expires_at: datetime


def purpose_for(session: Session, user: User, channel: Channel) -> Purpose:
    """Return the purpose of a token for that address: a decoy while another user is active with it."""
    return Purpose.DECOY if is_taken(session, user, channel) else Purpose.ACTIVATION


def _addition(channel: Channel) -> Insert:
    """Return the statement that adds a token for that channel and decides its purpose."""
    holders = select(User.id).where(has_address(channel, bindparam("address")), proven_at(channel).is_not(None))
    return (
        insert(Token)
        .values(
            channel=channel,
            purpose=case((holders.exists(), Purpose.DECOY.value), else_=Purpose.ACTIVATION.value),
            expires_at=func.now() + bindparam("lifetime", type_=Interval()),
        )
        .returning(Token.purpose, Token.expires_at)
    )


# The user's columns have a prefix, because both tables have an id.
_NEW_USER = insert(User).values({each.name: bindparam(f"new_{each.name}") for each in fields(NewUser)}).cte("new_user")

# Built once, and executed without the unit of work, which would double the CPU time.
_ADDITIONS = {channel: _addition(channel) for channel in Channel}
_FIRST_ADDITIONS = {channel: addition.add_cte(_NEW_USER) for channel, addition in _ADDITIONS.items()}


def add_token(
    session: Session, user: User, channel: Channel, policy: TokenPolicy, attempts: int | None = None
) -> IssuedToken:
    """Add a token in the caller's transaction. The database's clock determines its expiry."""
    return _added(session, _ADDITIONS[channel], channel, _columns(user, channel, policy, attempts))


def add_user_with_token(session: Session, user: NewUser, channel: Channel, policy: TokenPolicy) -> IssuedToken:
    """Add a user and a token in one round trip."""
    columns = {f"new_{name}": value for name, value in vars(user).items()}
    return _added(session, _FIRST_ADDITIONS[channel], channel, columns | _columns(user, channel, policy))


def _columns(
    user: User | NewUser, channel: Channel, policy: TokenPolicy, attempts: int | None = None
) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "user_id": user.id,
        "key_id": policy.key_id,
        "attempts_left": policy.attempts if attempts is None else attempts,
        "address": canonical_address(reached_at(user, channel)),
        "lifetime": policy.lifetimes[channel],
    }


def _added(session: Session, addition: Insert, channel: Channel, columns: dict[str, Any]) -> IssuedToken:
    purpose, expires_at = session.connection().execute(addition, columns).one()
    return IssuedToken(columns["id"], channel, purpose, columns["key_id"], expires_at)


def tokens_of(user_id: UUID) -> Select[Token]:
    """Select the registration's tokens, newest first."""
    return (
        select(Token)
        .where(Token.user_id == user_id, Token.purpose.in_(FOR_A_REGISTRATION))
        .order_by(Token.created_at.desc(), Token.id)
    )


def living_tokens_of(session: Session, user_id: UUID, *which: ColumnElement[bool]) -> Sequence[Token]:
    """Return the registration's living tokens that match, newest first."""
    return session.scalars(tokens_of(user_id).where(is_living(), *which)).all()


def is_living() -> ColumnElement[bool]:
    """Return the condition that a token is neither used nor expired."""
    # clock_timestamp() instead of now(): a transaction that waited for a lock started before the token ended.
    return Token.used_at.is_(None) & (Token.expires_at > func.clock_timestamp())


def has_half_its_life_left(session: Session, token: Token) -> bool:
    """Return whether enough time remains to use a repeated code."""
    is_young = Token.expires_at - func.now() >= func.now() - Token.created_at
    return bool(session.scalar(select(is_young).where(Token.id == token.id)))


def supersede_messages(session: Session, *tokens: Token) -> None:
    """Supersede the tokens' pending messages. The API has no other right to change messages."""
    for token in tokens:
        session.execute(select(func.signpost_supersede(owner_of_messages(token), token.id)))


def supersede_living(session: Session, user_id: UUID) -> None:
    """Supersede the pending messages of all living tokens of the registration, in one round trip."""
    closed = func.signpost_supersede(Token.user_id, Token.id)
    session.execute(select(closed).where(Token.user_id == user_id, Token.purpose.in_(FOR_A_REGISTRATION), is_living()))


def owner_of_messages(token: Token) -> UUID | None:
    """Return the id under which the token's messages are stored: without a user, the address's."""
    return token.user_id or token.address_id


def end_tokens(session: Session, tokens: Sequence[Token]) -> None:
    """End the tokens."""
    if not tokens:
        return
    # In the order of ids, as ``spend_attempt`` does, so that the two wait instead of deadlocking.
    these = select(Token.id).where(Token.id.in_([token.id for token in tokens])).order_by(Token.id)
    locked = these.with_for_update().cte("locked")
    ended = update(Token).where(Token.id == locked.c.id).values(expires_at=func.now())
    session.execute(ended.execution_options(synchronize_session=False))


def message_about(user: User | NewUser, token: Token | IssuedToken, policy: TokenPolicy) -> NewMessage:
    """Return the message with the code, or the note that the address has an account.

    Both fall back in the same way, so that the other channel does not reveal a taken address.
    """
    return NewMessage(
        template=_template_for(token.purpose),
        channel=token.channel,
        recipient=reached_at(user, token.channel),
        locale=user.locale,
        payload={"name": user.full_name, "key_id": token.key_id},
        user_id=user.id,
        token_id=token.id,
        expires_at=token.expires_at,
        fallback=fallback_for(user, token.channel, policy),
    )


def fallback_for(user: Addressed, channel: Channel, policy: TokenPolicy) -> NewFallback | None:
    """Return the fallback, if the policy has one for the channel and the user an address for it."""
    fallback = policy.fallback_of(channel)
    return fallback if fallback and address_of(user, fallback.channel) else None


def _template_for(purpose: Purpose) -> Template:
    match purpose:
        case Purpose.ACTIVATION:
            return Template("activation")
        case Purpose.DECOY:
            return Template("account_exists")
        case Purpose.PASSWORD_RESET | Purpose.ADDRESS_CHANGE | Purpose.INVITATION:
            raise ValueError("such a token is none of a registration's")


@dataclass(frozen=True)
class Attempt:
    """An attempt that has been counted."""

    token_id: UUID
    key_id: str


@dataclass(frozen=True)
class SpentAttempts:
    """The attempts of one try; used up if there are live tokens without attempts left."""

    attempts: tuple[Attempt, ...]
    is_used_up: bool


def spend_attempt(session: Session, *which: ColumnElement[bool]) -> SpentAttempts:
    """Count an attempt against each live token selected, decoys included.

    There can be one token per channel, and the code of either works. A try costs each of them an attempt, so two
    channels do not double the guesses.
    """
    # Locked in the order of ids, so that concurrent tries wait instead of deadlocking.
    living = select(Token.id).where(*which, is_living()).order_by(Token.id).with_for_update().cte("living")
    spent = (
        update(Token)
        .where(Token.id == living.c.id, Token.attempts_left > 0)
        .values(attempts_left=Token.attempts_left - 1)
        .returning(Token.id, Token.key_id)
        .cte("spent")
    )
    rows = session.execute(
        select(living.c.id, spent.c.key_id).select_from(living).outerjoin(spent, spent.c.id == living.c.id)
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

    In the transaction that spends the attempt, so that a rejected request does not cost an attempt.
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


def id_in_link(link_token: str, keys: SecretKeys, use: LinkUse) -> UUID:
    """Return the id in a link for that use. Raises InvalidOrExpiredError."""
    found = token_id_of_link(link_token, keys, use)
    if found is None:
        raise InvalidOrExpiredError
    return found


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
