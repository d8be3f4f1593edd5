"""SQLAlchemy engines, and which errors mean that the database is unavailable."""

import select
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from psycopg import Error as DriverError
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.db.connection_settings import (
    CONNECT_TIMEOUT_SECONDS,
    GENERIC_PLANS,
    KEEPALIVES,
    SET_IN_OWN_SESSION,
    UTF8,
    driver_url,
    own_session_parameters,
    set_in_transaction,
)
from shared.db.errors import driver_error
from shared.db.timeouts import TimeoutConnection

SETTINGS = {"statement_timeout": "15000", "idle_in_transaction_session_timeout": "30000"}
"""Milliseconds."""

POOL_TIMEOUT_SECONDS = 0.5
"""How long a thread waits for a connection. While the database is slow, requests fail instead of piling up."""

DATABASE_FAILURES = (DBAPIError, PoolTimeoutError)
"""Errors to pass to ``is_database_unavailable``."""
READ_ONLY = "25006"
ROLLED_BACK = ("40001", "40P01")
"""SQLSTATEs of a serialization failure and a deadlock: the transaction can be retried."""
CHECK_VIOLATION = "23514"
UNAVAILABLE = ("08", "40", "53", "57", READ_ONLY)
"""SQLSTATE classes of connection errors, rollbacks, missing resources and operator intervention (or timeouts); and the
SQLSTATE of a standby that refuses to write."""

MAX_IDLE_SECONDS = 5
"""A connection that was in the pool for longer is tested before use."""

_IS_POOLED = "is a pooler's session"
_RETURNED_AT = "returned at"
_SET_IN_TRANSACTION = set_in_transaction(SETTINGS)


def create_database_engine(
    url: str,
    *,
    application_name: str,
    pool_size: int,
    plans_once: bool = False,
    timeout_seconds: float | None = None,
) -> Engine:
    """Create an engine whose connections time out instead of hanging. Does not connect yet.

    ``timeout_seconds`` limits each response, instead of RESPONSE_TIMEOUT_SECONDS. A thread that gets no connection from
    the pool within POOL_TIMEOUT_SECONDS raises PoolTimeoutError. With ``plans_once``, each statement is prepared at its
    first use with one generic plan.
    """
    engine = create_engine(
        engine_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        hide_parameters=True,
        connect_args={
            "connect_timeout": min(CONNECT_TIMEOUT_SECONDS, int(timeout_seconds or CONNECT_TIMEOUT_SECONDS)),
            "application_name": application_name,
        }
        | KEEPALIVES
        | UTF8,
    )
    event.listen(engine, "do_connect", partial(_connected, timeout_seconds=timeout_seconds))
    settings = SETTINGS | GENERIC_PLANS if plans_once else SETTINGS
    event.listen(engine, "connect", partial(_set_up, engine=engine, settings=settings))
    event.listen(engine, "checkin", _record_return)
    event.listen(engine, "checkout", _discard_dead)
    event.listen(engine, "handle_error", _discard_read_only_sessions)
    return engine


class PreparedConnection(TimeoutConnection):
    """A connection that keeps its prepared statements after a rollback, as PostgreSQL does.

    psycopg discards them, since the rolled-back transaction may have created a table. Signpost's services create no
    tables, but they roll back often, after each request with an error. Each rollback would cost new plans for all
    later statements.
    """

    def rollback(self) -> None:
        """Roll back without discarding prepared statements, unless a statement failed."""
        if self.info.transaction_status is TransactionStatus.INTRANS:
            self.run_in_time(b"ROLLBACK")
        super().rollback()  # only has to raise the error of a lost connection


def _connected(
    _dialect: Any, _record: Any, arguments: list[str], options: dict[str, Any], *, timeout_seconds: float | None
) -> PreparedConnection:
    connection = PreparedConnection.connect(*arguments, **options)
    if timeout_seconds is not None:
        connection.timeout_seconds = timeout_seconds
    return connection


def _set_up(connection: Any, record: Any, *, engine: Engine, settings: Mapping[str, str]) -> None:
    """Apply the settings to a session of our own, or remember that the session is a pooler's."""
    connection.autocommit = True
    parameters = own_session_parameters(settings, connection.info.backend_pid)
    is_own = connection.execute(SET_IN_OWN_SESSION, parameters, prepare=False).rowcount > 0
    connection.autocommit = False
    record.info[_IS_POOLED] = not is_own
    if not is_own:
        connection.prepare_threshold = None  # the next transaction may run in another session
        # Only for poolers: with any listener, SQLAlchemy's events cost 3 % of each statement. Repeating it is harmless.
        event.listen(engine, "begin", _apply_in_pooled_session)
    elif settings.keys() >= GENERIC_PLANS.keys():
        connection.prepare_threshold = 0


def _record_return(_connection: Any, record: Any) -> None:
    record.info[_RETURNED_AT] = time.monotonic()


def _discard_dead(connection: Any, record: Any, _lent: Any) -> None:
    """Make the pool replace a dead connection before use.

    A server that stops, restarts or ends a session closes the connection, which the client sees without a round trip. A
    connection that the network dropped silently needs a test query, so only connections idle for a while get one.
    """
    idle = time.monotonic() - record.info.get(_RETURNED_AT, time.monotonic())
    if _has_pending_data(connection) or (idle > MAX_IDLE_SECONDS and not _responds(connection)):
        raise DisconnectionError


def _has_pending_data(connection: Any) -> bool:
    """Return whether data or the end of the stream is waiting on an idle connection."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(connection.closed or poll.poll(0))


def _responds(connection: PreparedConnection) -> bool:
    try:
        connection.run_in_time(b"select 1", within=CONNECT_TIMEOUT_SECONDS)
    except DriverError:
        return False
    return True


def _apply_in_pooled_session(connection: Connection) -> None:
    if connection.info[_IS_POOLED]:
        connection.exec_driver_sql(_SET_IN_TRANSACTION)


def _discard_read_only_sessions(context: ExceptionContext) -> None:
    """Make the pool drop connections to a server that refuses to write: their sessions may stay read-only."""
    original = driver_error(context.original_exception)
    if original and original.sqlstate == READ_ONLY:
        context.is_disconnect = True


def engine_url(url: str) -> URL:
    """Parse the URL with libpq, so that all processes read it in the same way, and return SQLAlchemy's form."""
    parts = {name: str(value) for name, value in conninfo_to_dict(driver_url(url)).items()}
    return URL.create(
        "postgresql+psycopg",
        username=parts.pop("user", None),
        password=parts.pop(
            "password", None
        ),  # SQLAlchemy hides it when it prints the URL, because it is a separate part
        database=parts.pop("dbname", None),
        query=parts,
    )


def was_rolled_back(error: BaseException) -> bool:
    """Return whether a concurrent transaction caused a rollback, so that a retry can succeed.

    This includes a check violation without a constraint name: a row was on its way to the default partition just when
    a partition for its period was created.
    """
    original = driver_error(error)
    if original and original.sqlstate == CHECK_VIOLATION:
        return original.diag.constraint_name is None
    return bool(original and original.sqlstate in ROLLED_BACK)


def is_database_unavailable(error: BaseException) -> bool:
    """Return whether a later retry can help: the server is unreachable, stopping, overloaded or read-only.

    Other errors are bugs, which a retry does not fix.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    original = driver_error(error)
    if original and original.sqlstate:
        return original.sqlstate.startswith(UNAVAILABLE) or was_rolled_back(error)
    # Errors of the driver itself: about the connection, or about a statement that it refused to send.
    return error.connection_invalidated or error.statement is None
