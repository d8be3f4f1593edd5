"""Locking a user, by which whatever changes an account keeps out of the way of whatever else does."""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from shared.models import User
from shared.vocabulary import UserStatus
from shared.web.refusals import Refusal


def locked_user(session: Session, which: ColumnElement[bool], *, otherwise: Refusal) -> User:
    """Return the one user whom ``which`` selects, nobody else's to change until the transaction ends.

    Raises ``otherwise`` if there is none, or none any more when those who came first have let go. To be called
    before a token of theirs is locked: whoever locks both does it in that order. What only points at the user
    can be added meanwhile.
    """
    locked = select(User).where(which).with_for_update(key_share=True).execution_options(populate_existing=True)
    user = session.scalar(locked)
    if user is None:
        raise otherwise
    return user


def is_active(user_id: UUID) -> ColumnElement[bool]:
    """Return the condition that a row of users is that user's, who is active."""
    return and_(User.id == user_id, User.status == UserStatus.ACTIVE)
