"""Declining: whoever reads the mailbox says that they did not register, and the registration works no longer."""

from sqlalchemy.orm import Session

from api_service.errors import InvalidOrExpiredError
from api_service.use_cases.locking import locked_user
from api_service.use_cases.tokens import end_tokens, living_tokens_of, supersede_messages
from shared.models import Token, User
from shared.secrets import SecretKeys, token_id_of_link
from shared.vocabulary import UserStatus


def decline(session: Session, keys: SecretKeys, link_token: str) -> None:
    """Retire the link's registration in the caller's transaction; its codes and links end, and so do its messages.

    Never commits. Raises InvalidOrExpiredError for a link that works no longer. Who pressed the wrong button can have
    another message sent, which brings the registration back: by that a stranger gets one of the few messages
    that an address is sent in a day, and nothing else.
    """
    token_id = token_id_of_link(link_token, keys)
    token = session.get(Token, token_id) if token_id else None
    if token is None:
        raise InvalidOrExpiredError
    is_pending = (User.id == token.user_id) & (User.status == UserStatus.PENDING)
    user = locked_user(session, is_pending, otherwise=InvalidOrExpiredError())
    living = living_tokens_of(session, user.id)
    if token not in living:
        raise InvalidOrExpiredError
    supersede_messages(session, *living)
    end_tokens(session, living)
    user.status = UserStatus.RETIRED
