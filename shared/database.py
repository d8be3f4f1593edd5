"""What every process knows of its database: how to name it to the driver, and how to tell an error without its row."""

from psycopg import Error as DriverError
from psycopg import OperationalError

from shared.unreached import Cause, cause_in

CONNECT_TIMEOUT_SECONDS = 5

UNDEFINED = ("42P01", "42703", "42883")
"""SQLSTATEs (PostgreSQL's appendix A): the table, column or function does not exist, since the schema is behind."""

QUERY_CANCELED = "57014"
"""It took longer than a statement may: something held what it needed, or the database is too busy."""

INSUFFICIENT_PRIVILEGE = "42501"
"""The login may not do that; or, raised by a trigger of ours, nobody may."""


def driver_url(url: str) -> str:
    """Return a ``postgresql+psycopg://`` URL in the form that psycopg itself takes."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def violated_constraint(error: BaseException) -> str | None:
    """Name the constraint that an integrity error broke, if it says so."""
    original = driver_error(error)
    return original.diag.constraint_name if original else None


def describe(error: BaseException) -> dict[str, str | None]:
    """Return what may be logged of an error: class, SQLSTATE and constraint; and why there is no connection, if known.

    Never its text: PostgreSQL's DETAIL quotes the row, and so the address, even with parameters hidden.
    """
    original = driver_error(error)
    facts = {
        "error": type(original or error).__name__,
        "sqlstate": original.sqlstate if original else None,
        "constraint": violated_constraint(error),
    }
    cause = cause_of(error)
    return facts | {"cause": cause.value} if cause else facts


def cause_of(error: BaseException) -> Cause | None:
    """Tell why no connection came about, if that is what the error is, and it says why."""
    original = driver_error(error)
    if not isinstance(original, OperationalError) or original.sqlstate:
        return None
    return cause_in(str(original))


def driver_error(error: BaseException) -> DriverError | None:
    """Return the driver's own error, also out of SQLAlchemy's wrapping, which keeps it as ``orig``."""
    original = getattr(error, "orig", error)
    return original if isinstance(original, DriverError) else None
