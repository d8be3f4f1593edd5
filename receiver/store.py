"""Store delivery reports in PostgreSQL, over one connection that is reopened when it breaks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TypeVar

import psycopg

from migrations.revisions import REVISIONS
from receiver.metrics import REPORTS_RECEIVED
from shared.db.connection_settings import (
    CONNECT_TIMEOUT_SECONDS,
    KEEPALIVES,
    UTF8,
    driver_url,
    set_in_transaction,
)
from shared.db.errors import Outage
from shared.db.preflight import SCHEMA_REVISION, is_schema_behind
from shared.db.timeouts import TimeoutConnection
from shared.log import get_logger
from shared.reports.report import STORE_REPORT, DeliveryReport

# In each transaction, because the session may be a pooler's. Shorter than the connection's time limit.
SETTINGS = set_in_transaction({"statement_timeout": "15000"})

Result = TypeVar("Result")
log = get_logger("receiver.database")


class ReportStore:
    """The table of delivery reports. Threads share it, one at a time: a report takes a millisecond."""

    def __init__(self, url: str) -> None:
        self._url = driver_url(url)
        self._connection: TimeoutConnection | None = None
        self._lock = Lock()
        self._outage = Outage(log, "reports")

    def add(self, report: DeliveryReport) -> bool:
        """Store and commit a report; return whether it is new.

        Raises psycopg.Error if it is uncertain whether it was stored. The reporter then repeats it, which is safe: the
        same report is stored once.
        """
        is_new = self._run(lambda connection: connection.execute(STORE_REPORT, report.parameters()).rowcount == 1)
        if is_new:
            REPORTS_RECEIVED.labels(report.source, report.kind).inc()
        return is_new

    def missing(self) -> list[str]:
        """Return "database" while it is away, or "schema" if it is older than this release."""
        try:
            revision = self._run(lambda connection: (connection.execute(SCHEMA_REVISION).fetchone() or (None,))[0])
        except psycopg.errors.UndefinedTable:
            return ["schema"]
        except psycopg.Error:
            return ["database"]
        return ["schema"] if is_schema_behind(revision, REVISIONS) else []

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    def _run(self, work: Callable[[TimeoutConnection], Result]) -> Result:
        with self._lock, self._watched():
            if self._connection is None or self._connection.closed:
                self._connection = TimeoutConnection.connect(
                    self._url,
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    prepare_threshold=None,
                    application_name="signpost-receiver",
                    **KEEPALIVES,
                    **UTF8,
                )
            with self._connection.transaction():
                self._connection.execute(SETTINGS)
                return work(self._connection)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Log the beginning and the end of an outage. Close a connection that has failed."""
        try:
            yield
        except psycopg.Error as error:
            self._outage.failed(error)
            self._close()
            raise
        self._outage.end()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()
