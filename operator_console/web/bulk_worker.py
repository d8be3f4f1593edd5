"""The thread that runs the steps of bulk actions, whether started here or by a command that ended before they did.

The database decides which step is due, and each step is a transaction. So any number of consoles may do this, and
each may end at any time.
"""

from contextlib import suppress
from threading import Event, Thread
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.bulk import next_running_bulk, postpone_bulk, step_bulk
from shared.db.engine import DATABASE_FAILURES
from shared.db.errors import QUERY_CANCELED, Outage, describe
from shared.log import get_logger

log = get_logger("console.bulk_worker")

POLL_SECONDS = 5.0
"""Between two checks for bulk actions that other processes started."""
MIN_PAUSE_SECONDS = 0.02


class BulkWorker:
    """Runs the steps of running bulk actions until it is stopped."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._outage = Outage(log, "bulk actions")
        self._is_stopping = Event()
        self._wake = Event()
        self._thread = Thread(target=self._run, name="bulk-worker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Check for due steps at once, because a bulk action was started or resumed."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the current step and end the thread."""
        self._is_stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            self._wake.wait(self._try_step())
            self._wake.clear()

    def _try_step(self) -> float:
        """Run a step if one is due; return the seconds until the next check."""
        try:
            pause = self.step()
        except DATABASE_FAILURES as error:
            return self._outage.failed(error)
        except Exception:
            # A defect in one bulk action must not end the thread that all of them need.
            log.exception("bulk step failed")
            return POLL_SECONDS
        self._outage.end()
        return pause

    def step(self) -> float:
        """Run the step that is due first, and return the seconds until the next one."""
        with self._sessions.begin() as session:
            bulk = next_running_bulk(session)
        if bulk is None:
            return POLL_SECONDS
        if bulk.wait.total_seconds() > 0:
            return min(bulk.wait.total_seconds(), POLL_SECONDS)
        try:
            with self._sessions.begin() as session:
                after = step_bulk(session, bulk.id)
        except Exception as error:
            is_database_away = isinstance(error, DATABASE_FAILURES) and describe(error)["sqlstate"] != QUERY_CANCELED
            if not is_database_away:
                self._postpone(bulk.id)
            raise
        if after.status != bulk.status:
            log.info("bulk action ended", bulk_id=str(after.id), acted=after.acted, skipped=after.skipped)
        return MIN_PAUSE_SECONDS

    def _postpone(self, bulk_id: UUID) -> None:
        """Let other bulk actions run, in case only the steps of this one fail."""
        with suppress(*DATABASE_FAILURES), self._sessions.begin() as session:
            postpone_bulk(session, bulk_id)
