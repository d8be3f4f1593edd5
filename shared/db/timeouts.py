"""Limit how long threads wait for PostgreSQL's responses.

Keepalives and ``tcp_user_timeout`` detect a network that drops packets. A load balancer that has lost the server but
still acknowledges packets shows only by the missing response.
"""

import select
import time
from typing import Any

from psycopg import Connection, OperationalError
from psycopg.errors import ConnectionTimeout
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
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

    def run_in_time(self, statement: bytes, *, within: float | None = None) -> PGresult | None:
        """Run a short statement with libpq's own calls, which is faster than a cursor; return the last result.

        Raises ConnectionTimeout after ``within`` or ``timeout_seconds``, and OperationalError without a connection.
        Does not support COPY and single-row mode.
        """
        poll, deadline = select.poll(), time.monotonic() + (within or self.timeout_seconds)
        poll.register(self.pgconn.socket, select.POLLIN)
        self.pgconn.send_query(statement)
        self.pgconn.flush()
        result = None
        while True:
            while self.pgconn.is_busy():
                if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                    self.close()
                    raise ConnectionTimeout("no response")
                self.pgconn.consume_input()
            following = self.pgconn.get_result()
            if following is None:
                return result
            result = following
