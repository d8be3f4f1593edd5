"""Carrying work out in a transaction, and once more if the database has undone it for another's sake."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from shared.engine import was_undone

Result = TypeVar("Result")

MOST_TRIES = 3
"""Of two that wait for each other one goes on; that somebody loses three times running is a crowd, not an accident."""


def in_transaction(sessions: sessionmaker[Session], work: Callable[[Session], Result]) -> Result:
    """Carry the work out in a transaction of its own; again, in another, if it fell to a deadlock.

    So whatever the work changes must be in that transaction, or be the same when it is done twice.
    """
    for _ in range(MOST_TRIES - 1):
        try:
            with sessions.begin() as session:
                return work(session)
        except DBAPIError as error:
            if not was_undone(error):
                raise
    with sessions.begin() as session:
        return work(session)
