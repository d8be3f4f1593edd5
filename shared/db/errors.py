"""Describe database errors for logs without row contents, find out why a connection failed, and log outages once.

PostgreSQL quotes rows in error details, and so addresses. libpq's texts about failed connections contain hosts, users
and databases.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum

from psycopg import DatabaseError, InterfaceError, OperationalError
from psycopg import Error as DriverError
from psycopg.errors import ConnectionTimeout
from structlog.typing import FilteringBoundLogger

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
"""Between attempts during an outage."""

UNDEFINED = ("42P01", "42703", "42883")
"""SQLSTATEs of a missing table, column or function: the schema is older than the code."""

QUERY_CANCELED = "57014"
"""SQLSTATE of a statement timeout: a lock was held for too long, or the database is overloaded."""

INSUFFICIENT_PRIVILEGE = "42501"
"""SQLSTATE of a missing privilege, also raised by Signpost's own triggers."""


class ConnectionFailure(StrEnum):
    """Why a connection failed or broke."""

    CREDENTIALS = "wrong password or role"
    DATABASE = "no such database"
    ACCESS = "no pg_hba.conf entry"
    RIGHT = "no right to connect"
    FULL = "too many connections"
    BETWEEN = "starting up or shutting down"
    READ_ONLY = "read-only"
    TLS = "TLS"
    HOST = "no such host"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timed out"
    ENDED = "ended by the server"
    CLOSED = "closed"


# SQLSTATEs that PostgreSQL sends over an open connection. ENDED: the server shuts down, an administrator ended the
# session, a process of the server crashed, or the session was idle for too long. READ_ONLY: it has become a standby.
_SQLSTATES = {
    **dict.fromkeys(("57P01", "57P02", "57P03", "57P05", "25P03"), ConnectionFailure.ENDED),
    "25006": ConnectionFailure.READ_ONLY,
}

# libpq reports no SQLSTATE for a failed connection, only a text. Texts in other languages than English are not
# recognized. Names chosen by others are quoted and removed first; addresses match no pattern. With several hosts, the
# first matching pattern belongs to the host that got furthest.
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_PATTERNS = {
    ConnectionFailure.CREDENTIALS: (
        "authentication failed|no password supplied|role  does not exist|is not permitted to log in|no such user"
    ),
    ConnectionFailure.DATABASE: "database  does not exist|database  is not currently accepting|no such database",
    ConnectionFailure.ACCESS: "no pg_hba.conf entry|pg_hba.conf rejects",
    ConnectionFailure.RIGHT: "permission denied for database",
    ConnectionFailure.FULL: (
        "too many connections|too many clients|remaining connection slots|no more connections allowed"
    ),
    ConnectionFailure.BETWEEN: (
        "is starting up|is shutting down|in recovery mode|is not yet accepting|not accepting connections"
    ),
    ConnectionFailure.READ_ONLY: "session is read-only|is in hot standby mode",
    ConnectionFailure.TLS: r"\bssl\b(?! syscall| connection has been closed)|certificate|\btls\b",
    ConnectionFailure.HOST: "failed to resolve host|translate host name|name or service not known",
    ConnectionFailure.REFUSED: "connection refused|no such file or directory",
    ConnectionFailure.UNREACHABLE: "no route to host|network is unreachable",
    ConnectionFailure.TIMEOUT: "timeout expired|timed out",
    ConnectionFailure.ENDED: "terminating connection",
    ConnectionFailure.CLOSED: (
        "server closed the connection|connection has been closed|eof detected|connection reset|broken pipe"
        "|connection is lost|connection is closed"
    ),
}


def describe(error: BaseException) -> dict[str, str | None]:
    """Return the fields of an error that are safe to log: class, SQLSTATE, constraint, and why a connection is lost."""
    original = driver_error(error)
    fields = {
        "error": type(original or error).__name__,
        "sqlstate": original.sqlstate if original else None,
        "constraint": violated_constraint(error),
    }
    cause = connection_failure_of(error)
    return fields | {"cause": cause.value} if cause else fields


def driver_error(error: BaseException) -> DriverError | None:
    """Return psycopg's error, unwrapped from SQLAlchemy's if necessary."""
    original = getattr(error, "orig", error)
    return original if isinstance(original, DriverError) else None


def violated_constraint(error: BaseException) -> str | None:
    """Return the name of the constraint that the statement violated, if any."""
    original = driver_error(error)
    return original.diag.constraint_name if original else None


def connection_failure_of(error: BaseException) -> ConnectionFailure | None:
    """Return why the connection failed or broke, if the error is about that and is recognized."""
    original = driver_error(error)
    if original is None:
        return None
    if isinstance(original, ConnectionTimeout):
        return ConnectionFailure.TIMEOUT
    if original.sqlstate:
        return _SQLSTATES.get(original.sqlstate)
    return connection_failure_in(str(original)) if is_connection_error(original) else None


def is_connection_error(error: Exception) -> bool:
    """Return whether the connection was lost. Other errors, such as a missing table or grant, need an operator.

    psycopg raises DatabaseError without an SQLSTATE if the connection ends within a response.
    """
    is_cut_off = type(error) is DatabaseError and error.sqlstate is None
    return is_cut_off or isinstance(error, OperationalError | InterfaceError)


def connection_failure_in(text: str) -> ConnectionFailure | None:
    """Find the cause in a text of libpq or psycopg about a failed connection."""
    unquoted = _QUOTED.sub("", text).lower()
    return next((cause for cause, pattern in _PATTERNS.items() if re.search(pattern, unquoted)), None)


class Outage:
    """The outage of one connection: its first error is logged, and pauses grow. The caller does the waiting."""

    def __init__(self, log: FilteringBoundLogger, purpose: str) -> None:
        self._log = log
        self._purpose = purpose
        self._pause = FIRST_PAUSE_SECONDS
        self.since: datetime | None = None

    @property
    def is_on(self) -> bool:
        """Whether the last attempt failed."""
        return self.since is not None

    def failed(self, error: Exception) -> float:
        """Record a failed attempt, log the first one, and return the seconds to wait."""
        if not self.is_on:
            log = self._log.warning if is_connection_error(error) else self._log.error
            facts = describe(error)
            event = "schema too old" if facts["sqlstate"] in UNDEFINED else "database lost"
            log(event, purpose=self._purpose, **facts)
            self.since = datetime.now(UTC)
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return pause

    def end(self) -> None:
        """Record a successful attempt, and log the end of the outage."""
        if self.is_on:
            self._log.info("database found again", purpose=self._purpose)
        self.since = None
        self._pause = FIRST_PAUSE_SECONDS
