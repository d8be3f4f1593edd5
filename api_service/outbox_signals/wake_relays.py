"""Wake the relays after a commit, from a background thread."""

import threading
from datetime import timedelta

import psycopg
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus

from api_service.outbox_signals.background import Background
from shared.log import get_logger
from shared.outage import Outage
from shared.patience import PatientConnection
from shared.sessions import SET_IN_OWN_SESSION, own_session_parameters
from shared.vocabulary import WAKE_CHANNEL

log = get_logger("api.notifier")

SHORTEST_PAUSE = timedelta(milliseconds=1)
LONGEST_PAUSE = timedelta(milliseconds=20)

# NOTIFY waits for the disk at commit unless synchronous_commit is off, which saves a third of the latency to the
# relay. In our own session it is set once; in a session lent by a pooler, in the same statement.
ONLY_IN_MEMORY = {"synchronous_commit": "off"}
NOTIFY = sql.SQL("notify {}").format(sql.Identifier(WAKE_CHANNEL))
NOTIFY_IN_LENT_SESSION = sql.SQL("select set_config('synchronous_commit', 'off', true), pg_notify({}, '')").format(
    sql.Literal(WAKE_CHANNEL)
)


def next_pause(pause: timedelta, *, is_due: bool) -> timedelta:
    """Return how long to collect wake-ups after the next notification: longer under load."""
    return min(4 * pause, LONGEST_PAUSE) if is_due else SHORTEST_PAUSE


class Notifier(Background):
    """Notifies the relays from a background thread: at once under low load, every 20 ms under high load.

    NOTIFY inside the writing transactions would serialize all commits behind a global lock. A lost notification delays
    messages by one poll interval.
    """

    name = "notifier"

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, Outage(log, "notify"))
        self._is_due = threading.Event()

    def wake(self) -> None:
        """Request a notification; return at once."""
        self._is_due.set()
        self.start()

    def close(self) -> None:
        """Stop the thread and its connection."""
        self._is_closing.set()
        self._is_due.set()
        super().close()

    def work(self) -> None:
        """Notify whenever requested."""
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
            notify(connection, statement)  # for requests since the last one

    def lost(self) -> None:
        """Request a notification: the last one may be lost."""
        self._is_due.set()


def has_set_up(connection: psycopg.Connection) -> bool:
    """Set the session's parameters if the session is our own; return whether it is."""
    parameters = own_session_parameters(ONLY_IN_MEMORY, connection.info.backend_pid)
    return connection.execute(SET_IN_OWN_SESSION, parameters).rowcount > 0


def notify(connection: PatientConnection, statement: bytes) -> None:
    """Execute the statement through libpq's own call, which releases the GIL. Raises psycopg's errors.

    A cursor would delay the relay by 0.2 ms.
    """
    result = connection.run_in_time(statement)
    if result is None or connection.pgconn.status == ConnStatus.BAD:
        raise psycopg.OperationalError("the connection is lost")
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise error_from_result(result)
