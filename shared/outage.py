"""A database that is away: how long to wait between tries, and saying so once instead of a thousand times."""

from datetime import UTC, datetime

import psycopg
from structlog.typing import FilteringBoundLogger

from shared.database import describe

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class Outage:
    """What one user of the database knows of its absence. Whoever waits does so in its own way."""

    def __init__(self, log: FilteringBoundLogger, purpose: str) -> None:
        self._log = log
        self._purpose = purpose
        self._pause = FIRST_PAUSE_SECONDS
        self.since: datetime | None = None

    @property
    def is_on(self) -> bool:
        """Whether the last try failed."""
        return self.since is not None

    def failed(self, error: Exception) -> float:
        """Note that a try failed, said if it is the first; return how many seconds to wait, longer each time."""
        if not self.is_on:
            tell = self._log.warning if _is_usual(error) else self._log.error
            tell("database lost", purpose=self._purpose, **describe(error))
            self.since = datetime.now(UTC)
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return pause

    def end(self) -> None:
        """Note that a try succeeded, said if it is the first."""
        if self.is_on:
            self._log.info("database found again", purpose=self._purpose)
        self.since = None
        self._pause = FIRST_PAUSE_SECONDS


def _is_usual(error: Exception) -> bool:
    """Tell whether a connection went, as they do; anything else, such as a missing table or grant, needs somebody.

    One that ends in the middle of an answer is a DatabaseError to psycopg, of no SQLSTATE.
    """
    is_without_answer = type(error) is psycopg.DatabaseError and error.sqlstate is None
    return is_without_answer or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
