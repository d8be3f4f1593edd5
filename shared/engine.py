"""Engines for the processes that use SQLAlchemy, and which of its errors mean that the database is away."""

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.database import CONNECT_TIMEOUT_SECONDS, driver_error, driver_url

STATEMENT_TIMEOUT_MILLISECONDS = 15_000
IDLE_IN_TRANSACTION_TIMEOUT_MILLISECONDS = 30_000

AWAY = ("08", "53", "57", "25006")
"""SQLSTATE classes: connections, resources, an operator (or a timeout) steps in; and a standby's refusal to write."""


def create_database_engine(url: str, *, application_name: str, pool_size: int) -> Engine:
    """Make an engine whose connections give up rather than hang; nothing is connected yet."""
    return create_engine(
        engine_url(url),
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


def is_database_away(error: BaseException) -> bool:
    """Tell whether to try again later: the server is out of reach, stopping, overwhelmed, or may not write.

    Anything else is a fault of ours, and will be there the next time too.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    original = driver_error(error)
    if original and original.sqlstate:
        return original.sqlstate.startswith(AWAY)
    # The driver's own complaints: about the connection, or about a statement that it would not send.
    return error.connection_invalidated or error.statement is None
