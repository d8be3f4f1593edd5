"""Waiting for PostgreSQL to answer for no longer than any statement may take, in threads.

The relay has its own way, in ``outbox_relay.db.connection``.

A network that drops what is sent shows by keepalives and ``tcp_user_timeout``. Something on the way that has lost the
server and still acknowledges our bytes, as load balancers do, shows by nothing but the silence.
"""

import select
import time
from typing import Any

from psycopg import Connection, OperationalError
from psycopg.errors import ConnectionTimeout
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

ANSWER_SECONDS = 20.0
"""Longer than any statement may take: whoever has not answered by then never will."""

NOTICES_SILENCE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""How a connection is made that notices within half a minute that nobody is there (libpq; seconds, milliseconds)."""


class PatientConnection(Connection[TupleRow]):
    """A connection that is given up, and closed, where an answer takes longer than ``patience_seconds``."""

    patience_seconds = ANSWER_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, but raise ConnectionTimeout rather than wait for ever."""
        try:
            return super().wait(gen, interval, self.patience_seconds if timeout is None else timeout)
        except OperationalError as error:
            # psycopg's own error for this is private; after any other the server has said that the statement is over.
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()  # nobody knows what may still come
            raise ConnectionTimeout("no answer") from error

    def run_in_time(self, statement: bytes, *, within: float | None = None) -> PGresult | None:
        """Run a short statement by libpq's own calls, quicker than through a cursor; return the last of its results.

        Raises ConnectionTimeout likewise, or ``within`` so many seconds, and OperationalError where the connection is
        lost. What copies, or reads in parts, is not for this.
        """
        poll, deadline = select.poll(), time.monotonic() + (within or self.patience_seconds)
        poll.register(self.pgconn.socket, select.POLLIN)
        self.pgconn.send_query(statement)
        self.pgconn.flush()
        result = None
        while True:
            while self.pgconn.is_busy():
                if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                    self.close()
                    raise ConnectionTimeout("no answer")
                self.pgconn.consume_input()
            following = self.pgconn.get_result()
            if following is None:
                return result
            result = following
