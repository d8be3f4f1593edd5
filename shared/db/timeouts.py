"""Limit how long threads wait for PostgreSQL's responses.

Keepalives and ``tcp_user_timeout`` detect a network that drops packets. A load balancer that has lost the server but
still acknowledges packets shows only by the missing response.
"""

from typing import Any

from psycopg import Connection, OperationalError, generators
from psycopg.errors import ConnectionTimeout
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

RESPONSE_TIMEOUT_SECONDS = 20.0
"""Longer than the statement timeout, so a healthy server always responds in time."""


class TimeoutConnection(Connection[TupleRow]):
    """A connection that is closed when a response takes longer than ``timeout_seconds``."""

    timeout_seconds = RESPONSE_TIMEOUT_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, and raise ConnectionTimeout after the timeout."""
        try:
            return super().wait(gen, interval, self.timeout_seconds if timeout is None else timeout)
        except OperationalError as error:
            # psycopg's own error for this is private. After any other, the statement is no longer active.
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()  # a late response must not be taken for the next statement's
            raise ConnectionTimeout("no response") from error

    def run_in_time(self, statement: bytes, *, within: float | None = None) -> None:
        """Run a statement outside psycopg's transactions, and ignore an error of the server.

        Raises ConnectionTimeout after ``within`` or ``timeout_seconds``, and OperationalError without a connection.
        """
        self.pgconn.send_query(statement)
        self.wait(generators.execute(self.pgconn), timeout=within)
