"""A background thread with its own database connection."""

import threading
from abc import ABC, abstractmethod

from shared.database import CONNECT_TIMEOUT_SECONDS, driver_url
from shared.outage import Outage
from shared.patience import NOTICES_SILENCE, PatientConnection
from shared.sessions import IN_UTF8

CLOSE_SECONDS = 2.0
"""How long shutdown waits for each thread. The threads are daemons and end with the process."""


class Background(ABC):
    """A thread that works while connected, and reconnects after failures."""

    name: str

    def __init__(self, database_url: str, outage: Outage) -> None:
        self._url = driver_url(database_url)
        self._outage = outage
        self._is_closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread once, on first use: threads do not survive gunicorn's fork."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop the thread. A thread that waits for an unresponsive server is left behind."""
        self._is_closing.set()
        if self._thread:
            self._thread.join(CLOSE_SECONDS)

    @abstractmethod
    def work(self) -> None:
        """Connect and work until closing. Return early if the work is useless."""

    @abstractmethod
    def lost(self) -> None:
        """Handle a lost connection, before a pause and another attempt."""

    def connect(self) -> PatientConnection:
        """Return a connection in autocommit mode, with the thread's name."""
        return PatientConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name=f"signpost-api-{self.name}",
            prepare_threshold=None,
            **NOTICES_SILENCE,
            **IN_UTF8,
        )

    def _run(self) -> None:
        while not self._is_closing.is_set():
            try:
                self.work()
            except Exception as error:  # noqa: BLE001 - without this thread the work would stop for good
                self.lost()
                self._is_closing.wait(self._outage.failed(error))
            else:
                return
