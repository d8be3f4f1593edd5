"""Why no connection came about, in words of ours: PostgreSQL's SQLSTATE of that does not get through libpq.

Its text does, with hosts, users and databases in it, which nobody is to read in a log. Where it is in another language
than English, nothing is found.
"""

import re
from enum import StrEnum


class Cause(StrEnum):
    """Why there is no connection."""

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


# What others chose, such as a database's name, stands in quotes; an address looks like none of these. With several
# hosts, what the first of these is said of has come farthest.
NAMES = re.compile(r"\"[^\"]*\"|'[^']*'")
SIGNS = {
    Cause.CREDENTIALS: (
        "authentication failed|no password supplied|role  does not exist|is not permitted to log in|no such user"
    ),
    Cause.DATABASE: "database  does not exist|database  is not currently accepting|no such database",
    Cause.ACCESS: "no pg_hba.conf entry|pg_hba.conf rejects",
    Cause.RIGHT: "permission denied for database",
    Cause.FULL: "too many connections|too many clients|remaining connection slots|no more connections allowed",
    Cause.BETWEEN: "is starting up|is shutting down|in recovery mode|is not yet accepting|not accepting connections",
    Cause.READ_ONLY: "session is read-only|is in hot standby mode",
    Cause.TLS: r"\bssl\b(?! syscall| connection has been closed)|certificate|\btls\b",
    Cause.HOST: "failed to resolve host|translate host name|name or service not known",
    Cause.REFUSED: "connection refused|no such file or directory",
    Cause.UNREACHABLE: "no route to host|network is unreachable",
    Cause.TIMEOUT: "timeout expired|timed out",
}


def cause_in(text: str) -> Cause | None:
    """Find the cause in what libpq or psycopg says of a connection that did not come about."""
    said = NAMES.sub("", text).lower()
    return next((cause for cause, signs in SIGNS.items() if re.search(signs, said)), None)
