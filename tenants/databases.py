"""Upgrade all organizations' databases.

Each database is independent and records its revision, so an interrupted run can be repeated.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.db.connection_settings import CONNECT_TIMEOUT_SECONDS, UTF8, driver_url
from tenants.application import ApplicationMigrations, run
from tenants.schema import HAS_BEEN_USED, RECORD_REVISION, SCHEMA, is_organization_database

# A closed database is being created from a template with the revision, or will be dropped.
OWNED = "select datname from pg_database where datdba = current_user::regrole and datallowconn order by datname"

# Members can take the same advisory lock in their database. That must not delay all other organizations for long.
LOCK = "set lock_timeout = '20s'; select pg_advisory_lock(hashtext('signpost'))"


@dataclass(frozen=True)
class Result:
    """The outcome for one database. ``error`` is None after success."""

    database: str
    error: str | None


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect in autocommit."""
    return psycopg.connect(
        driver_url(url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name="tenants migrate",
        **UTF8,
    )


def organization_databases(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the databases that this login owns, oldest organization first: names sort by the time in the id."""
    return [name for (name,) in connection.execute(OWNED) if is_organization_database(name)]


def databases_behind(url: str, revision: str) -> list[str]:
    """Return the databases with another revision, oldest organization first.

    The list includes databases that cannot be read. Their upgrade reports the reason.
    """
    with connect(url) as connection:
        names = organization_databases(connection)
    return [name for name in names if _needs_upgrade(url_of(url, name), revision)]


def _needs_upgrade(url: str, revision: str) -> bool:
    try:
        with connect(url) as connection:
            return _revision_of(connection) != revision
    except psycopg.Error:
        return True


def _revision_of(connection: psycopg.Connection[Any]) -> str | None:
    row = connection.execute("select revision from signpost.database").fetchone()
    return row[0] if row else None


def upgrade_all(
    url: str, migrations: ApplicationMigrations, databases: list[str], concurrency: int
) -> Iterator[Result]:
    """Upgrade the databases, ``concurrency`` at once, and yield results as they complete."""
    with ThreadPoolExecutor(concurrency) as threads:
        running = {threads.submit(upgrade_one, url_of(url, name), migrations): name for name in databases}
        try:
            for future in as_completed(running):
                yield Result(running[future], future.result())
        finally:
            threads.shutdown(cancel_futures=True)


def upgrade_one(url: str, migrations: ApplicationMigrations) -> str | None:
    """Upgrade one database, and return the reason if that failed. Another run may have upgraded it before."""
    try:
        with connect(url) as connection:
            connection.execute(LOCK)
            connection.execute(SCHEMA)
            if _revision_of(connection) == migrations.revision:
                return None
            [(is_used,)] = connection.execute(HAS_BEEN_USED)
            reason = asyncio.run(run(migrations, url, connection.fileno()))
            if reason is None:
                connection.execute(RECORD_REVISION, [migrations.revision, is_used])
            return reason
    except psycopg.Error as error:
        return " ".join(filter(None, (type(error).__name__, error.sqlstate)))


def url_of(url: str, database: str) -> str:
    """Return the driver's URL of another database on the same server."""
    parts: dict[str, Any] = dict(conninfo_to_dict(driver_url(url)))
    return make_conninfo(**parts | {"dbname": database})
