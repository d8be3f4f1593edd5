"""Waking the relays after a commit: soon, seldom, and never at a request's expense."""

import threading
from datetime import timedelta

import psycopg
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus

from api_service.background import Background
from shared.log import get_logger
from shared.outage import Outage
from shared.patience import PatientConnection
from shared.sessions import SET_IN_OWN_SESSION, own_session_parameters
from shared.vocabulary import WAKE_CHANNEL

log = get_logger("api.notifier")

SHORTEST_PAUSE = timedelta(milliseconds=1)
LONGEST_PAUSE = timedelta(milliseconds=20)

# A transaction that notifies waits for the disk, unless told otherwise: once, where the session is our own, which
# saves a third of the way to the relay; where a pooler lends it for one transaction, in the same statement.
ONLY_IN_MEMORY = {"synchronous_commit": "off"}
NOTIFY = sql.SQL("notify {}").format(sql.Identifier(WAKE_CHANNEL))
NOTIFY_IN_LENT_SESSION = sql.SQL("select set_config('synchronous_commit', 'off', true), pg_notify({}, '')").format(
    sql.Literal(WAKE_CHANNEL)
)


def next_pause(pause: timedelta, *, is_due: bool) -> timedelta:
    """Return how long to gather wake-ups after the next notification: longer while they come faster than that."""
    return min(4 * pause, LONGEST_PAUSE) if is_due else SHORTEST_PAUSE


class Notifier(Background):
    """Notifies from a thread and a connection of its own: at once when little is written, else once in 20 ms.

    NOTIFY inside the writing transaction would serialise all commits behind one database-wide lock.
    A wake-up that is lost costs the relays one poll interval, and no message.
    """

    name = "notifier"

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, Outage(log, "notify"))
        self._is_due = threading.Event()

    def wake(self) -> None:
        """Have the relays woken; returns at once, whatever state the database is in."""
        self._is_due.set()
        self.start()

    def close(self) -> None:
        """End the thread and its connection."""
        self._is_closing.set()
        self._is_due.set()
        super().close()

    def work(self) -> None:
        """Notify whenever it is due."""
        self._is_due.wait()
        with self.connect() as connection:
            notification = NOTIFY if has_set_up(connection) else NOTIFY_IN_LENT_SESSION
            statement, pause = notification.as_bytes(connection), SHORTEST_PAUSE
            while not self._is_closing.is_set():
                self._is_due.clear()
                notify(connection, statement)
                self._outage.end()
                self._is_closing.wait(pause.total_seconds())
                pause = next_pause(pause, is_due=self._is_due.is_set())
                self._is_due.wait()
            notify(connection, statement)  # for what came since the last one

    def lost(self) -> None:
        """Have the relays woken once the database is back: the last wake-up may have been lost."""
        self._is_due.set()


def has_set_up(connection: psycopg.Connection) -> bool:
    """Set for good what notifications need, where the session is our own; tell whether it is."""
    parameters = own_session_parameters(ONLY_IN_MEMORY, connection.info.backend_pid)
    return connection.execute(SET_IN_OWN_SESSION, parameters).rowcount > 0


def notify(connection: PatientConnection, statement: bytes) -> None:
    """Run the statement by libpq's own call, which lets other threads run meanwhile. Raises psycopg's errors.

    Through a cursor, whoever is to be woken hears of it a fifth of a millisecond later.
    """
    result = connection.run_in_time(statement)
    if result is None or connection.pgconn.status == ConnStatus.BAD:
        raise psycopg.OperationalError("the connection is lost")
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise error_from_result(result)
