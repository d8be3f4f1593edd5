"""Wake the relays after a commit, from a background thread."""

import threading
from datetime import timedelta

import psycopg
from psycopg import sql

from shared.db.connection_settings import (
    CONNECT_TIMEOUT_SECONDS,
    KEEPALIVES,
    SET_IN_OWN_SESSION,
    UTF8,
    driver_url,
    own_session_parameters,
)
from shared.db.errors import Outage
from shared.db.timeouts import TimeoutConnection
from shared.log import get_logger
from shared.vocabulary import WAKE_CHANNEL

log = get_logger("api.notifier")

SHORTEST_PAUSE = timedelta(milliseconds=1)
LONGEST_PAUSE = timedelta(milliseconds=20)
CLOSE_SECONDS = 2.0
"""How long shutdown waits for the thread, which is a daemon and ends with the process."""

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


class Notifier:
    """Notifies the relays from a background thread: at once under low load, every 20 ms under high load.

    NOTIFY inside the writing transactions would serialize all commits behind a global lock. A lost notification delays
    messages by one poll interval. The thread has its own connection and reconnects after failures.
    """

    name = "notifier"

    def __init__(self, database_url: str) -> None:
        self._url = driver_url(database_url)
        self._outage = Outage(log, "notify")
        self._is_due = threading.Event()
        self._is_closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Request a notification; return at once. The first call starts the thread, which would not survive a fork."""
        self._is_due.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop the thread and its connection. A thread that waits for an unresponsive server is left behind."""
        self._is_closing.set()
        self._is_due.set()
        if self._thread:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._is_closing.is_set():
            try:
                self._notify_until_closing()
            except Exception as error:  # noqa: BLE001 - only this thread wakes the relays
                self._is_due.set()  # the last notification may be lost
                self._is_closing.wait(self._outage.failed(error))

    def _notify_until_closing(self) -> None:
        self._is_due.wait()
        with self._connect() as connection:
            notification = NOTIFY if has_set_up(connection) else NOTIFY_IN_LENT_SESSION
            pause = SHORTEST_PAUSE
            while not self._is_closing.is_set():
                self._is_due.clear()
                connection.execute(notification)
                self._outage.end()
                self._is_closing.wait(pause.total_seconds())
                pause = next_pause(pause, is_due=self._is_due.is_set())
                self._is_due.wait()
            connection.execute(notification)  # for requests since the last one

    def _connect(self) -> TimeoutConnection:
        return TimeoutConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name=f"signpost-api-{self.name}",
            prepare_threshold=None,
            **KEEPALIVES,
            **UTF8,
        )


def has_set_up(connection: psycopg.Connection) -> bool:
    """Set the session's parameters if the session is our own; return whether it is."""
    parameters = own_session_parameters(ONLY_IN_MEMORY, connection.info.backend_pid)
    return connection.execute(SET_IN_OWN_SESSION, parameters).rowcount > 0
