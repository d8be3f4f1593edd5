"""Limit how long threads wait for PostgreSQL's responses.

Keepalives and ``tcp_user_timeout`` detect a network that drops packets. A load balancer that has lost the server but
still acknowledges packets shows only by the missing response.
"""

from contextlib import suppress
from typing import Any

from psycopg import Connection, Error, OperationalError, generators
from psycopg.errors import ConnectionTimeout, Diagnostic
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

RESPONSE_TIMEOUT_SECONDS = 20.0
"""Longer than the statement timeout, so a healthy server always responds in time."""
CANCEL_SECONDS = 1.0
"""How long a server may take to accept the cancellation of a statement without a response."""
CANCELLED_WAIT = "SyncRepWaitForLSN"
"""PostgreSQL's function that warns if the wait of a commit for a standby is cancelled. The text may be translated."""


class UnconfirmedCommitError(OperationalError):
    """No standby has confirmed the commit, and the server waits no longer: a failover could lose the transaction."""


class TimeoutConnection(Connection[TupleRow]):
    """A connection that is closed when a response takes longer than ``timeout_seconds``."""

    timeout_seconds = RESPONSE_TIMEOUT_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_unconfirmed = False
        self.add_notice_handler(self._notice)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does. Raises ConnectionTimeout after the timeout, and UnconfirmedCommitError."""
        try:
            result = super().wait(gen, interval, self.timeout_seconds if timeout is None else timeout)
        except OperationalError as error:
            # psycopg's own error for this is private. After any other, the statement is no longer active.
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self._give_up()
            raise ConnectionTimeout("no response") from error
        if self._is_unconfirmed:
            self._is_unconfirmed = False
            raise UnconfirmedCommitError("no standby has confirmed the commit")
        return result

    def run_in_time(self, statement: bytes, *, within: float | None = None) -> None:
        """Run a statement outside psycopg's transactions, and ignore an error of the server.

        Raises ConnectionTimeout after ``within`` or ``timeout_seconds``, and OperationalError without a connection.
        """
        self.pgconn.send_query(statement)
        self.wait(generators.execute(self.pgconn), timeout=within)

    def _give_up(self) -> None:
        """Cancel the statement and close the connection: a late response must not be taken for the next statement's.

        A server that waits for a standby does not notice a closed connection. Without the cancellation, the sessions
        of one failed commit after the other would use up its ``max_connections``.
        """
        with suppress(Error):
            self.cancel_safe(timeout=CANCEL_SECONDS)
        self.close()

    def _notice(self, notice: Diagnostic) -> None:
        # PostgreSQL reports such a commit as successful.
        self._is_unconfirmed |= notice.source_function == CANCELLED_WAIT
