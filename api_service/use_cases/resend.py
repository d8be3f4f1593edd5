"""Resending: the same code again while it is young enough, and a fresh one after that."""

from math import ceil
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api_service.errors import AlreadyActiveError, FaultCode, ResendTooSoonError, UnknownRegistrationError
from api_service.rate_limits import Limit, Limiter
from api_service.use_cases.addresses import address_of
from api_service.use_cases.locking import locked_user
from api_service.use_cases.organizations import refuse_until_ready
from api_service.use_cases.tokens import (
    GivenToken,
    Terms,
    add_token,
    end_tokens,
    has_half_its_life_left,
    living_tokens_of,
    message_about,
    purpose_for,
    supersede_messages,
    tokens_of,
)
from shared.addresses import canonical_address
from shared.enqueue import EnqueuedMessage, enqueue
from shared.models import OutboxMessage, Token, User
from shared.vocabulary import Channel, Purpose, UserStatus
from shared.web.refusals import Fault, ValidationFailedError


def resend(session: Session, registration_id: UUID, channel: Channel | None, *, terms: Terms, limiter: Limiter) -> None:
    """Add another message to the caller's transaction, and close what it replaces.

    Never commits. Whether the address is taken is decided anew, as in registering. Attempts that were
    used up stay used up while the code is repeated: a resend must not buy new guesses.
    """
    user = locked_registrant(session, registration_id)
    newest = newest_token(session, user)
    chosen = channel_for(user, channel or newest.channel)
    refuse_until_ready(session, user)
    refuse_until_cooled_down(session, user, terms)
    is_repeated = newest.channel is chosen and has_half_its_life_left(session, newest)
    token = repeated(session, user, newest) if is_repeated else replaced(session, user, chosen, terms)
    bring_back(user, token)
    message = enqueue(session, message_about(user, token, terms))
    count_resend(session, message, limiter)


def count_resend(session: Session, message: EnqueuedMessage, limiter: Limiter) -> None:
    """Count it against its address; one that is rolled back does not count. Raises TooManyRequestsError."""
    subject = limiter.address(Limit.RESENDS_PER_ADDRESS, canonical_address(message.recipient))
    limiter.spend([subject], session.connection())


def locked_registrant(session: Session, registration_id: UUID) -> User:
    """Return the user, who until the end of the transaction is nobody else's to resend to or activate."""
    user = locked_user(session, User.id == registration_id, otherwise=UnknownRegistrationError())
    if user.status is UserStatus.ACTIVE:
        raise AlreadyActiveError
    return user


def bring_back(user: User, token: Token | GivenToken) -> None:
    """Have one who is retired wait again, where the code that is sent could activate: it would be dead otherwise.

    Whoever activated another registration took one address, or has left it since.
    """
    if user.status is UserStatus.RETIRED and token.purpose is Purpose.ACTIVATION:
        user.status = UserStatus.PENDING


def newest_token(session: Session, user: User) -> Token:
    """Return the token whose code the user was told last."""
    return session.scalars(tokens_of(user.id).limit(1)).one()


def channel_for(user: User, wanted: Channel) -> Channel:
    """Return the channel wanted, if the user gave an address for it."""
    if address_of(user, wanted) is None:
        raise ValidationFailedError([Fault("#/channel", FaultCode.CHANNEL_WITHOUT_ADDRESS)])
    return wanted


def refuse_until_cooled_down(session: Session, user: User, terms: Terms) -> None:
    """Raise ResendTooSoonError while the user's newest message is younger than the cooldown."""
    coolest_at = func.max(OutboxMessage.created_at) + terms.resend_cooldown
    left = session.scalar(
        select(func.extract("epoch", coolest_at - func.now())).where(OutboxMessage.user_id == user.id)
    )
    if left is not None and left > 0:
        raise ResendTooSoonError(retry_after_seconds=ceil(left))


def repeated(session: Session, user: User, token: Token) -> Token:
    """Return the same token, its code and link unchanged; a message still pending about it is closed."""
    supersede_messages(session, token)
    token.purpose = purpose_for(session, user, token.channel)
    session.flush()
    return token


def replaced(session: Session, user: User, channel: Channel, terms: Terms) -> GivenToken:
    """Return a fresh token; the channel's earlier ones end here, and so do their pending messages.

    One that is young still hands on no more attempts than it has left: going back and forth between
    two channels must not buy new guesses either.
    """
    attempts_left = terms.attempts
    earlier = living_tokens_of(session, user.id, Token.channel == channel)
    for token in earlier:
        if has_half_its_life_left(session, token):
            attempts_left = min(attempts_left, token.attempts_left)
    supersede_messages(session, *earlier)
    end_tokens(session, earlier)
    return add_token(session, user, channel, terms, attempts_left)
