"""Upgrade all organizations' databases, or renew the passwords of their roles.

Each database is independent. The databases show which of them still need it, so an interrupted run can be repeated.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.db.connection_settings import CONNECT_TIMEOUT_SECONDS, UTF8, driver_url
from shared.db.errors import describe
from shared.secrets import tenant_password
from tenants.schema import VERSION_TABLE, is_behind, is_organization_database, organization_id_of
from tenants.upgrade_process import ErrorFields, UpgradeProcess

OWNED = """
select datname from pg_database
 where datdba = (select oid from pg_roles where rolname = current_user) order by datname
"""


@dataclass(frozen=True)
class Result:
    """The outcome for one database. ``error`` is empty after success."""

    database: str
    error: ErrorFields


def connect(url: str, purpose: str) -> psycopg.Connection[Any]:
    """Connect in autocommit."""
    return psycopg.connect(
        driver_url(url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name=f"tenants {purpose}",
        **UTF8,
    )


def organization_databases(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the databases that this login owns, oldest organization first: names sort by the time in the id."""
    return [name for (name,) in connection.execute(OWNED) if is_organization_database(name)]


def databases_behind(url: str) -> list[str]:
    """Return the databases that lack a migration of this release, oldest organization first.

    The list includes databases that cannot be read. Their upgrade reports the reason.
    """
    with connect(url, "migrate") as connection:
        names = organization_databases(connection)
    return [name for name in names if _needs_upgrade(url, name)]


def _needs_upgrade(url: str, database: str) -> bool:
    try:
        with connect(url_of(url, database), "migrate") as connection:
            row = connection.execute(f"select version_num from public.{VERSION_TABLE}").fetchone()  # noqa: S608 - a fixed name
    except psycopg.Error:
        return True
    return row is None or is_behind(row[0])


def upgrade_all(url: str, databases: list[str], concurrency: int) -> Iterator[Result]:
    """Upgrade the databases with ``concurrency`` processes, and yield results as they complete."""
    processes: SimpleQueue[UpgradeProcess] = SimpleQueue()

    def upgrade(database: str) -> ErrorFields:
        process = processes.get()
        try:
            return process.upgrade(url_of(url, database))
        finally:
            processes.put(process)

    with ExitStack() as stack:
        for _ in range(min(concurrency, len(databases))):
            processes.put(stack.enter_context(UpgradeProcess()))
        threads = stack.enter_context(ThreadPoolExecutor(concurrency))
        stack.callback(threads.shutdown, cancel_futures=True)
        running = {threads.submit(upgrade, name): name for name in databases}
        for future in as_completed(running):
            yield Result(running[future], future.result())


def renew_passwords(
    connection: psycopg.Connection[Any], databases: Sequence[str], newest_key: bytes
) -> Iterator[Result]:
    """Set each role's password to the one derived from the newest key. Open connections stay."""
    for name in databases:
        # As a SCRAM verifier, so that no statement log contains the password.
        password = tenant_password(organization_id_of(name), newest_key).encode()
        verifier = connection.pgconn.encrypt_password(password, name.encode(), b"scram-sha-256").decode()
        statement = sql.SQL("alter role {} password {}").format(sql.Identifier(name), sql.Literal(verifier))
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            yield Result(name, describe(error))
        else:
            yield Result(name, {})


def url_of(url: str, database: str) -> str:
    """Return the driver's URL of another database on the same server."""
    parts: dict[str, Any] = dict(conninfo_to_dict(driver_url(url)))
    return make_conninfo(**parts | {"dbname": database})
