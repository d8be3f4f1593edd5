"""Resend: repeat the newest code of the channel while half of its lifetime is left, else issue a new one."""

from math import ceil
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from api_service.errors import AlreadyActiveError, ResendTooSoonError, UnknownRegistrationError, ViolationCode
from api_service.rate_limits import Limit, Limiter
from api_service.use_cases.tokens import (
    IssuedToken,
    TokenPolicy,
    add_token,
    end_tokens,
    has_half_its_life_left,
    living_tokens_of,
    message_about,
    purpose_for,
    supersede_messages,
    tokens_of,
)
from api_service.use_cases.users import address_of, lock_user
from shared.addresses import canonical_address
from shared.enqueue import EnqueuedMessage, enqueue
from shared.models import OutboxMessage, Token, User
from shared.vocabulary import Channel, Purpose, UserStatus
from shared.web.problems import ValidationFailedError, Violation

if TYPE_CHECKING:
    from api_service.use_cases.organizations import Organizations


def resend(
    session: Session,
    registration_id: UUID,
    channel: Channel | None,
    *,
    policy: TokenPolicy,
    limiter: Limiter,
    organizations: "Organizations | None" = None,
) -> None:
    """Add another message in the caller's transaction.

    Earlier ones of the same channel are superseded. Whether the address is taken is decided again. A repeated code
    keeps its spent attempts.
    """
    user = lock_registrant(session, registration_id)
    newest = newest_token(session, user)
    chosen = channel_for(user, channel or newest.channel)
    if organizations:
        organizations.require_code_allowed(session, user.id)
    require_cooldown_over(session, user, policy)
    is_repeated = newest.channel is chosen and has_half_its_life_left(session, newest)
    token = repeated(session, user, newest) if is_repeated else replaced(session, user, chosen, policy)
    bring_back(user, token)
    message = enqueue(session, message_about(user, token, policy))
    count_resend(session, message, limiter)


def count_resend(session: Session, message: EnqueuedMessage, limiter: Limiter) -> None:
    """Count the resend against its address. A rollback also removes the hit. Raises TooManyRequestsError."""
    subject = limiter.address(Limit.RESENDS_PER_ADDRESS, canonical_address(message.recipient))
    limiter.spend([subject], session.connection())


def lock_registrant(session: Session, registration_id: UUID) -> User:
    """Lock and return the user. Raises UnknownRegistrationError or AlreadyActiveError."""
    user = lock_user(session, User.id == registration_id, otherwise=UnknownRegistrationError())
    if user.status is UserStatus.ACTIVE:
        raise AlreadyActiveError
    return user


def bring_back(user: User, token: Token | IssuedToken) -> None:
    """Make a retired user pending again if the token's code can activate the account.

    Another registration took the address, and may have given it up since.
    """
    if user.status is UserStatus.RETIRED and token.purpose is Purpose.ACTIVATION:
        user.status = UserStatus.PENDING


def newest_token(session: Session, user: User) -> Token:
    """Return the token whose code was sent last."""
    return session.scalars(tokens_of(user.id).limit(1)).one()


def channel_for(user: User, wanted: Channel) -> Channel:
    """Return the requested channel. Raises ValidationFailedError if it has no address."""
    if address_of(user, wanted) is None:
        raise ValidationFailedError([Violation("#/channel", ViolationCode.CHANNEL_WITHOUT_ADDRESS)])
    return wanted


def require_cooldown_over(session: Session, user: User, policy: TokenPolicy) -> None:
    """Raise ResendTooSoonError while the newest message is younger than the cooldown."""
    coolest_at = func.max(OutboxMessage.created_at) + policy.resend_cooldown
    left = session.scalar(
        select(func.extract("epoch", coolest_at - func.now())).where(OutboxMessage.user_id == user.id)
    )
    if left is not None and left > 0:
        raise ResendTooSoonError(retry_after_seconds=ceil(left))


def repeated(session: Session, user: User, token: Token) -> Token:
    """Return the same token with the same code, and supersede its pending message."""
    supersede_messages(session, token)
    # Also written if it is unchanged: the time of a resend must not reveal that the address is taken now.
    purpose = purpose_for(session, user, token.channel)
    session.execute(update(Token).where(Token.id == token.id).values(purpose=purpose))
    return token


def replaced(session: Session, user: User, channel: Channel, policy: TokenPolicy) -> IssuedToken:
    """Return a new token. Earlier tokens of the channel end, and their pending messages are superseded.

    A token with half of its lifetime left passes its remaining attempts on, so switching back within that
    time buys no guesses.
    """
    attempts_left = policy.attempts
    earlier = living_tokens_of(session, user.id, Token.channel == channel)
    for token in earlier:
        if has_half_its_life_left(session, token):
            attempts_left = min(attempts_left, token.attempts_left)
    supersede_messages(session, *earlier)
    end_tokens(session, earlier)
    return add_token(session, user, channel, policy, attempts_left)
