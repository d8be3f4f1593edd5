"""Work beside the requests: a thread of its own, with a database connection of its own, for the life of the process."""

import threading
from abc import ABC, abstractmethod

from shared.database import CONNECT_TIMEOUT_SECONDS, driver_url
from shared.outage import Outage
from shared.patience import NOTICES_SILENCE, PatientConnection
from shared.sessions import IN_UTF8

CLOSE_SECONDS = 2.0
"""How long a process that is told to end waits for what each thread has under way; its threads end with it."""


class Background(ABC):
    """A thread that works while it is connected, and connects again, however often the database goes away."""

    name: str

    def __init__(self, database_url: str, outage: Outage) -> None:
        self._url = driver_url(database_url)
        self._outage = outage
        self._is_closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it has begun; not when made, for a thread would not live through gunicorn's fork."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread and its connection; one that waits for a server that no longer answers is left behind."""
        self._is_closing.set()
        if self._thread:
            self._thread.join(CLOSE_SECONDS)

    @abstractmethod
    def work(self) -> None:
        """Connect, and do what is to be done until closing; returns early where it is of no use."""

    @abstractmethod
    def lost(self) -> None:
        """Note that the work has broken off; it is begun again after a pause."""

    def connect(self) -> PatientConnection:
        """Return a connection in autocommit, under the thread's name."""
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
            except Exception as error:  # noqa: BLE001 - whatever it was, without this thread the work is not done again
                self.lost()
                self._is_closing.wait(self._outage.failed(error))
            else:
                return
