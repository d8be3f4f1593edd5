"""Engines for the processes that use SQLAlchemy, and which of its errors mean that the database is away."""

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

from shared.database import CONNECT_TIMEOUT_SECONDS, driver_error, driver_url
from shared.patience import NOTICES_SILENCE, PatientConnection
from shared.sessions import IN_UTF8, PLANNED_ONCE, SET_IN_OWN_SESSION, own_session_parameters, set_in_transaction

SETTINGS = {"statement_timeout": "15000", "idle_in_transaction_session_timeout": "30000"}
"""Milliseconds."""

DATABASE_FAILURES = (DBAPIError, PoolTimeoutError)
"""What may mean that the database is away; ``is_database_away`` tells."""
READ_ONLY = "25006"
UNDONE = ("40001", "40P01")
"""A transaction gave way to another that it was at odds with, or waited for in a circle: it may be tried again."""
CHECK_VIOLATION = "23514"
AWAY = ("08", "40", "53", "57", READ_ONLY)
"""SQLSTATE classes: connections, transactions undone, resources, an operator (or a timeout) steps in; and a standby's
refusal to write."""

LONGEST_REST_SECONDS = 5
"""In the pool, after which a connection is asked whether it still works."""

_IS_LENT = "is lent"
_RETURNED_AT = "returned at"
_SET_IN_TRANSACTION = set_in_transaction(SETTINGS)


def create_database_engine(url: str, *, application_name: str, pool_size: int, plans_once: bool = False) -> Engine:
    """Make an engine whose connections give up rather than hang; nothing is connected yet.

    With ``plans_once`` each statement is prepared at its first run and has one plan, for whatever parameters.
    """
    engine = create_engine(
        engine_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": application_name,
        }
        | NOTICES_SILENCE
        | IN_UTF8,
    )
    event.listen(engine, "do_connect", _connected)
    settings = SETTINGS | PLANNED_ONCE if plans_once else SETTINGS
    event.listen(engine, "connect", partial(_set_up, engine=engine, settings=settings))
    event.listen(engine, "checkin", _note_return)
    event.listen(engine, "checkout", _part_with_dead)
    event.listen(engine, "handle_error", _part_with_read_only_sessions)
    return engine


class RememberingConnection(PatientConnection):
    """A connection that keeps what is prepared when a transaction is given up, as PostgreSQL itself does.

    psycopg has all of it forgotten, since what was rolled back may have been the making of a table. Nothing is made
    here; but requests are refused all the time, and each would have all that comes after it be planned anew.
    """

    def rollback(self) -> None:
        """Roll back; after a failed statement as psycopg does, which has lost count of what the server knows."""
        if self.info.transaction_status is TransactionStatus.INTRANS:
            self.run_in_time(b"ROLLBACK")
        super().rollback()  # has nothing left to do, but to raise what became of a lost connection


def _connected(_dialect: Any, _record: Any, arguments: list[str], options: dict[str, Any]) -> RememberingConnection:
    return RememberingConnection.connect(*arguments, **options)


def _set_up(connection: Any, record: Any, *, engine: Engine, settings: Mapping[str, str]) -> None:
    """Set the settings for good in a session of our own; note where a pooler lends us its sessions instead."""
    connection.autocommit = True
    parameters = own_session_parameters(settings, connection.info.backend_pid)
    is_own = connection.execute(SET_IN_OWN_SESSION, parameters, prepare=False).rowcount > 0
    connection.autocommit = False
    record.info[_IS_LENT] = not is_own
    if not is_own:
        connection.prepare_threshold = None  # the next transaction may run in another session
        # Only now: as soon as somebody listens, SQLAlchemy tells of each statement, which costs each a thirtieth.
        # Whoever listens already is not told twice.
        event.listen(engine, "begin", _set_where_lent)
    elif settings.keys() >= PLANNED_ONCE.keys():
        connection.prepare_threshold = 0


def _note_return(_connection: Any, record: Any) -> None:
    record.info[_RETURNED_AT] = time.monotonic()


def _part_with_dead(connection: Any, record: Any, _lent: Any) -> None:
    """Have the pool replace a connection that the server has closed, before anybody works with it.

    A server that stops or restarts, or ends a session, says so and hangs up: that is seen without asking,
    which would cost every transaction a round trip. What a network has silently forgotten shows only by
    asking; so after a rest it is asked all the same.
    """
    rested = time.monotonic() - record.info.get(_RETURNED_AT, time.monotonic())
    if _has_something_to_say(connection) or (rested > LONGEST_REST_SECONDS and not _answers(connection)):
        raise DisconnectionError


def _has_something_to_say(connection: Any) -> bool:
    """Tell whether something came, or the end, on a connection that was asked nothing."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(connection.closed or poll.poll(0))


def _answers(connection: RememberingConnection) -> bool:
    try:
        connection.run_in_time(b"select 1", within=CONNECT_TIMEOUT_SECONDS)
    except DriverError:
        return False
    return True


def _set_where_lent(connection: Connection) -> None:
    if connection.info[_IS_LENT]:
        connection.exec_driver_sql(_SET_IN_TRANSACTION)


def _part_with_read_only_sessions(context: ExceptionContext) -> None:
    """Have the pool drop its connections when the server refuses to write: they may stay read-only for ever."""
    original = driver_error(context.original_exception)
    if original and original.sqlstate == READ_ONLY:
        context.is_disconnect = True


def engine_url(url: str) -> URL:
    """Return SQLAlchemy's form of the URL as libpq reads it, so that all processes read it alike."""
    parts = {name: str(value) for name, value in conninfo_to_dict(driver_url(url)).items()}
    return URL.create(
        "postgresql+psycopg",
        username=parts.pop("user", None),
        password=parts.pop("password", None),  # here, and not among the rest, it is hidden when the URL is printed
        database=parts.pop("dbname", None),
        query=parts,
    )


def was_undone(error: BaseException) -> bool:
    """Tell whether the transaction was rolled back through no fault of its own, and could do as well the next time.

    So it is with a message on its way into the default partition when that of its day was made: no constraint of ours.
    """
    original = driver_error(error)
    if original and original.sqlstate == CHECK_VIOLATION:
        return original.diag.constraint_name is None
    return bool(original and original.sqlstate in UNDONE)


def is_database_away(error: BaseException) -> bool:
    """Tell whether to try again later: the server is out of reach, stopping, overwhelmed, at odds, or may not write.

    Anything else is a fault of ours, and will be there the next time too.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    original = driver_error(error)
    if original and original.sqlstate:
        return original.sqlstate.startswith(AWAY) or was_undone(error)
    # The driver's own complaints: about the connection, or about a statement that it would not send.
    return error.connection_invalidated or error.statement is None
