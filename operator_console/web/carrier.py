"""Carrying bulk acts on that were begun here, or by a command that ended before they did: one step after the other.

A thread of its own. Which step is due is the database's to say, and each is a transaction, so that it does not matter
how many consoles do this, nor when one of them dies.
"""

from contextlib import suppress
from threading import Event, Thread

from sqlalchemy.orm import Session, sessionmaker

from operator_console.acting import Bulk, next_running_bulk, put_off, step_bulk
from shared.database import QUERY_CANCELED, describe
from shared.engine import DATABASE_FAILURES
from shared.log import get_logger
from shared.outage import Outage

log = get_logger("console.carrier")

LOOK_SECONDS = 5.0
"""How long to wait before looking again whether anything is to be carried on that somebody else began."""
SHORTEST_PAUSE_SECONDS = 0.02


class Carrier:
    """Steps through running bulk acts until it is told to end."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._outage = Outage(log, "bulk acts")
        self._is_ending = Event()
        self._woken = Event()
        self._thread = Thread(target=self._run, name="carrier", daemon=True)

    def start(self) -> None:
        """Begin to carry on what is running."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once: something was begun."""
        self._woken.set()

    def end(self) -> None:
        """Finish the step in hand, and no other."""
        self._is_ending.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_ending.is_set():
            self._woken.wait(self._try_step())
            self._woken.clear()

    def _try_step(self) -> float:
        """Make a step if one is due; return how many seconds to wait before the next look."""
        try:
            pause = self.step()
        except DATABASE_FAILURES as error:
            return self._outage.failed(error)
        except Exception:
            # A defect in one bulk action must not end the thread that all of them need.
            log.exception("bulk step failed")
            return LOOK_SECONDS
        self._outage.end()
        return pause

    def step(self) -> float:
        """Make the step that is due first, and return how many seconds the next one has."""
        with self._sessions.begin() as session:
            bulk = next_running_bulk(session)
        if bulk is None:
            return LOOK_SECONDS
        if bulk.wait.total_seconds() > 0:
            return min(bulk.wait.total_seconds(), LOOK_SECONDS)
        try:
            with self._sessions.begin() as session:
                after = step_bulk(session, bulk.id)
        except Exception as error:
            is_database_away = isinstance(error, DATABASE_FAILURES) and describe(error)["sqlstate"] != QUERY_CANCELED
            if not is_database_away:
                self._put_off(bulk)
            raise
        if after.status != bulk.status:
            log.info("bulk act ended", bulk_id=str(after.id), acted=after.acted, skipped=after.skipped)
        return SHORTEST_PAUSE_SECONDS

    def _put_off(self, bulk: Bulk) -> None:
        """Let others have their turn, should it be this one alone whose steps are held up."""
        with suppress(*DATABASE_FAILURES), self._sessions.begin() as session:
            put_off(session, bulk.id)
