"""Back off while the database is unavailable, and log the outage once instead of at each attempt."""

from datetime import UTC, datetime

from structlog.typing import FilteringBoundLogger

from shared.db.errors import UNDEFINED, describe, is_connection_error

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class Outage:
    """State of one connection's outage. The caller does the waiting."""

    def __init__(self, log: FilteringBoundLogger, purpose: str) -> None:
        self._log = log
        self._purpose = purpose
        self._pause = FIRST_PAUSE_SECONDS
        self.since: datetime | None = None

    @property
    def is_on(self) -> bool:
        """Whether the last attempt failed."""
        return self.since is not None

    def failed(self, error: Exception) -> float:
        """Record a failed attempt, log the first one, and return the seconds to wait."""
        if not self.is_on:
            log = self._log.warning if is_connection_error(error) else self._log.error
            facts = describe(error)
            event = "schema too old" if facts["sqlstate"] in UNDEFINED else "database lost"
            log(event, purpose=self._purpose, **facts)
            self.since = datetime.now(UTC)
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return pause

    def end(self) -> None:
        """Record a successful attempt, and log the end of the outage."""
        if self.is_on:
            self._log.info("database found again", purpose=self._purpose)
        self.since = None
        self._pause = FIRST_PAUSE_SECONDS
