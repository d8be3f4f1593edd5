"""Engines for the processes that use SQLAlchemy, and errors told without the rows they quote."""

from psycopg import Error as DriverError
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_MILLISECONDS = 15_000
IDLE_IN_TRANSACTION_TIMEOUT_MILLISECONDS = 30_000

AWAY = ("08", "53", "57", "25006")
"""SQLSTATE classes: connections, resources, an operator (or a timeout) steps in; and a standby's refusal to write."""


def create_database_engine(url: str, *, application_name: str, pool_size: int) -> Engine:
    """Make an engine whose connections give up rather than hang; nothing is connected yet."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": application_name,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MILLISECONDS}"
            f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MILLISECONDS}"
            " -c timezone=UTC",
        },
    )


def driver_url(url: str) -> str:
    """Return a ``postgresql+psycopg://`` URL in the form that psycopg itself takes."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def is_database_away(error: BaseException) -> bool:
    """Tell whether to try again later: the server is out of reach, stopping, overwhelmed, or may not write.

    Anything else is a fault of ours, and will be there the next time too.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    driver_error = _driver_error(error)
    if driver_error and driver_error.sqlstate:
        return driver_error.sqlstate.startswith(AWAY)
    # The driver's own complaints: about the connection, or about a statement that it would not send.
    return error.connection_invalidated or error.statement is None


def violated_constraint(error: BaseException) -> str | None:
    """Name the constraint that an integrity error broke, if it says so."""
    driver_error = _driver_error(error)
    return driver_error.diag.constraint_name if driver_error else None


def describe(error: BaseException) -> dict[str, str | None]:
    """Return what may be logged of an error: class, SQLSTATE and constraint.

    Never its text: PostgreSQL's DETAIL quotes the row, and so the address, even with parameters hidden.
    """
    driver_error = _driver_error(error)
    return {
        "error": type(driver_error or error).__name__,
        "sqlstate": driver_error.sqlstate if driver_error else None,
        "constraint": violated_constraint(error),
    }


def _driver_error(error: BaseException) -> DriverError | None:
    original = error.orig if isinstance(error, DBAPIError) else error
    return original if isinstance(original, DriverError) else None
