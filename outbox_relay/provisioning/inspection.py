"""Seed, inspect and check the contents of an organization's database."""

from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from outbox_relay.db.connection import database_timeout
from outbox_relay.model import FailureClass
from outbox_relay.provisioning.databases import catalog_entry, has_exhausted_connections
from outbox_relay.provisioning.model import DamagedError, Health, Organization, failure_class_of
from outbox_relay.provisioning.server import ProvisionServer
from shared.vocabulary import HealthStatus
from tenants.schema import VERSION_TABLE, tables_at

CHECK_SECONDS = 20.0

PROBE = "signpost.checked_at"
"""The setting that each check writes."""

SEED_ORGANIZATION = "insert into organization (id, name, country) values (%s, %s, %s) on conflict do nothing"
SEED_FOUNDER = "insert into members (user_id, full_name, role) values (%s, %s, 'founder') on conflict do nothing"
SEED_AUDIT = """
insert into audit (user_id, action, about)
select %s, 'founded', %s where not exists (select from audit where action = 'founded')
"""

TABLES = """
array(select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p'))
"""

INSPECT = f"""
select (select version_num from {VERSION_TABLE}),
       (select id from organization),
       {TABLES},
       pg_database_size(current_database())
"""  # noqa: S608 - a fixed name

WRITE_AND_READ = """
insert into settings (name, value) values (%s, to_jsonb(clock_timestamp()))
on conflict (name) do update set value = excluded.value, changed_at = now() returning value
"""

ONE_SEEDED_ROW = ("members", "audit")
"""Tables with one row of Signpost's: the founder, and the audit entry about the founding."""


@dataclass(frozen=True)
class Inspection:
    """State of a database that passed an inspection."""

    revision: str
    tables: int
    size_bytes: int


async def seed(connection: AsyncConnection[TupleRow], organization: Organization) -> None:
    """Insert the organization, its founder and the first audit entry. Existing rows stay."""
    async with connection.transaction():
        values = (organization.id, organization.name, organization.country)
        await connection.execute(SEED_ORGANIZATION, values)
        await connection.execute(SEED_FOUNDER, (organization.founder_id, organization.founder_full_name))
        await connection.execute(SEED_AUDIT, (organization.founder_id, Jsonb({})))


async def inspect_database(connection: AsyncConnection[TupleRow], organization: Organization) -> Inspection:
    """Read, write and read again with the members' privileges. Raises DamagedError."""
    try:
        [(revision, owner_id, tables, size_bytes)] = await (await connection.execute(INSPECT)).fetchall()
        written = await (await connection.execute(WRITE_AND_READ, [PROBE])).fetchone()
    except psycopg.ProgrammingError as error:
        raise DamagedError(f"a table or a privilege is missing ({error.sqlstate})") from error
    if owner_id != organization.id:
        raise DamagedError("it belongs to another organization")
    if missing := tables_at(revision or "") - set(tables):
        raise DamagedError(f"without {', '.join(sorted(missing))}")
    if not revision or not written:
        raise DamagedError("it has no revision")
    return Inspection(revision, len(tables), size_bytes)


async def revision_of(connection: AsyncConnection[TupleRow]) -> str | None:
    """Return the schema revision, or None for a database without tables."""
    try:
        row = await (await connection.execute(f"select version_num from {VERSION_TABLE}")).fetchone()  # noqa: S608 - a fixed name
    except psycopg.errors.UndefinedTable:
        return None
    return row[0] if row else None


async def require_tables(connection: AsyncConnection[TupleRow], revision: str | None) -> None:
    """Raise DamagedError if tables were dropped. A repair cannot restore their rows, so it does not recreate them."""
    [(tables,)] = await (await connection.execute(f"select {TABLES}")).fetchall()
    expected = tables_at(revision) if revision else {VERSION_TABLE} if set(tables) - {VERSION_TABLE} else set()
    if missing := expected - set(tables):
        raise DamagedError(f"without {', '.join(sorted(missing))}, which must be restored from a backup")
    if expected and not revision:
        raise DamagedError(f"{VERSION_TABLE} is empty: insert the revision of the tables")


async def has_been_used(connection: AsyncConnection[TupleRow]) -> bool:
    """Return whether there are rows besides the seeded ones, or tables are missing."""
    revision = await revision_of(connection)
    try:
        await require_tables(connection, revision)
    except DamagedError:
        return True
    for table in sorted(tables_at(revision or "").intersection(ONE_SEEDED_ROW)):
        row = await (await connection.execute(f"select count(*) > 1 from {table}")).fetchone()  # noqa: S608 - fixed names
        if row and row[0]:
            return True
    return False


async def check(server: ProvisionServer, organization: Organization) -> Health:
    """Check the database as its members use it. All errors become a health status.

    A healthy database costs one connection. If the server refuses the connection, a second connection finds the reason.
    A refused connection has no SQLSTATE, only a text in the server's language.
    """
    async with server.slot():
        try:
            found = await _inspect_as_tenant(server, organization)
        except DamagedError as error:
            return Health(HealthStatus.DAMAGED, error.reason)
        except psycopg.Error as error:
            return _health_after(error.sqlstate) if error.sqlstate else await _why_refused(server, organization)
        return Health(HealthStatus.HEALTHY, None, found.revision, found.tables, found.size_bytes)


async def _inspect_as_tenant(server: ProvisionServer, organization: Organization) -> Inspection:
    async with (
        database_timeout(CHECK_SECONDS),
        await server.connect_as_tenant(organization.id, organization.database) as connection,
    ):
        return await inspect_database(connection, organization)


def _health_after(sqlstate: str) -> Health:
    match failure_class_of(sqlstate):
        case FailureClass.CONTENT | FailureClass.RECIPIENT:
            return Health(HealthStatus.DAMAGED, f"it cannot be read or written ({sqlstate})")
        case FailureClass.TRANSIENT | FailureClass.PROVIDER:
            return Health(HealthStatus.UNREACHABLE, f"the server refused ({sqlstate})")


async def _why_refused(server: ProvisionServer, organization: Organization) -> Health:
    """Find out why the organization's role could not connect."""
    try:
        async with database_timeout(CHECK_SECONDS), await server.connect_as_admin() as connection:
            cause = await _cause_in_catalog(connection, organization.database)
    except psycopg.Error:
        return Health(HealthStatus.UNREACHABLE, "the server does not respond")
    if cause:
        return cause
    try:
        async with database_timeout(CHECK_SECONDS), await server.connect_as_owner(organization.database):
            return Health(HealthStatus.DAMAGED, "its role cannot connect")
    except psycopg.Error:
        return Health(HealthStatus.UNREACHABLE, "the server accepts no read-write connections")


async def _cause_in_catalog(connection: AsyncConnection[TupleRow], database: str) -> Health | None:
    entry = await catalog_entry(connection, database)
    if entry is None:
        return Health(HealthStatus.LOST, "there is no such database")
    if entry.is_broken or not entry.is_open:
        return Health(HealthStatus.DAMAGED, "the database is closed")
    if await has_exhausted_connections(connection, database):
        return Health(HealthStatus.UNREACHABLE, "its role has no connections left")
    return None
