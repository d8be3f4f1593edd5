"""Try a database before a process starts, and explain each failure to its administrator."""

from collections.abc import Callable, Sequence

import psycopg
from psycopg.errors import InsufficientPrivilege, UndefinedTable

from shared.db.connection_settings import CONNECT_TIMEOUT_SECONDS, driver_url
from shared.db.errors import ConnectionFailure, connection_failure_of

EXPLANATIONS = {
    ConnectionFailure.CREDENTIALS: "the server rejects the user or the password in the URL",
    ConnectionFailure.DATABASE: "the server has no database of this name",
    ConnectionFailure.ACCESS: "pg_hba.conf of the server does not admit this host, user and database",
    ConnectionFailure.RIGHT: "the user has no right to connect to the database",
    ConnectionFailure.FULL: "the server has no free connection; see max_connections",
    ConnectionFailure.BETWEEN: "the server is starting up or shutting down",
    ConnectionFailure.READ_ONLY: "the server is read-only, as a standby is",
    ConnectionFailure.TLS: "TLS failed; check sslmode and the certificate of the server",
    ConnectionFailure.HOST: "the host name in the URL does not exist",
    ConnectionFailure.REFUSED: "no server listens on the host and port in the URL",
    ConnectionFailure.UNREACHABLE: "the network does not reach the host in the URL",
    ConnectionFailure.TIMEOUT: "the server does not respond; check the host, the port and firewalls",
}
IS_READ_ONLY = "select current_setting('transaction_read_only')::boolean"
SCHEMA_REVISION = "select version_num from public.alembic_version"

Check = Callable[[psycopg.Connection], str | None]


def database_problem(url: str, check: Check = lambda _connection: None) -> str | None:
    """Return why a process cannot work with this database, or None. ``check`` returns a further problem."""
    try:
        with psycopg.connect(driver_url(url), connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection:
            if connection.execute(IS_READ_ONLY).fetchone() == (True,):
                return EXPLANATIONS[ConnectionFailure.READ_ONLY]
            return check(connection)
    except psycopg.Error as error:
        return _explained(error)


def is_schema_behind(revision: str | None, revisions: Sequence[str]) -> bool:
    """Return whether the schema is older than this release's migrations, which are in order.

    A newer schema is fine: migrations run while the previous release still serves.
    """
    return revision is None or revision in revisions[:-1]


def schema_check(revisions: Sequence[str]) -> Check:
    """Return a check that the schema is not older than this release's migrations, in order."""

    def check(connection: psycopg.Connection) -> str | None:
        row = connection.execute(SCHEMA_REVISION).fetchone()
        is_behind = is_schema_behind(row[0] if row else None, revisions)
        return "the schema is older than this release; run `api-service migrate`" if is_behind else None

    return check


def _explained(error: psycopg.Error) -> str:
    match error:
        case UndefinedTable():
            return "the database has no schema; run `api-service migrate`"
        case InsufficientPrivilege():
            return "the user has no rights; create it `in role signpost_…` of this process"
        case _:
            cause = connection_failure_of(error)
            return EXPLANATIONS[cause] if cause else " ".join(filter(None, (type(error).__name__, error.sqlstate)))
