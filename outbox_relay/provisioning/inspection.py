"""Prepare, inspect and check the contents of an organization's database."""

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from outbox_relay.db.connection import database_timeout
from outbox_relay.model import FailureClass
from outbox_relay.provisioning.databases import catalog_entry, has_exhausted_connections
from outbox_relay.provisioning.model import DamagedError, Health, Organization, failure_class_of
from outbox_relay.provisioning.server import ProvisionServer
from shared.vocabulary import HealthStatus
from tenants.schema import HAS_BEEN_USED

CHECK_SECONDS = 20.0

MISSING = """
array(select name from signpost.tables except select name from signpost.existing_tables order by name)
"""

INSPECT = f"""
select revision, organization_id, {MISSING}, (select count(*) from signpost.existing_tables),
       pg_database_size(current_database())
  from signpost.database
"""  # noqa: S608 - fixed text
WRITE_AND_READ = "update signpost.database set checked_at = clock_timestamp() returning checked_at"

HAS_TABLES = "select exists (select from pg_tables where schemaname !~ '^pg_' and schemaname <> 'information_schema')"

CLAIM_DATABASE = "update signpost.database set organization_id = %s where organization_id is null"


async def prepare(connection: AsyncConnection[TupleRow], organization: Organization) -> None:
    """Write the organization's id into its database, unless it has one. Raises DamagedError if tables were dropped.

    A repair cannot restore the rows of a dropped table, so it does not recreate it.
    """
    try:
        found = await (await connection.execute(f"select {MISSING} from signpost.database")).fetchone()  # noqa: S608 - fixed text
    except psycopg.errors.UndefinedTable:
        found = None
    missing = found[0] if found else ["schema signpost"]
    if missing:
        raise DamagedError(f"without {', '.join(missing)}, which must be restored from a backup")
    await connection.execute(CLAIM_DATABASE, [organization.id])


async def inspect_database(connection: AsyncConnection[TupleRow], organization: Organization) -> Health:
    """Read, write and read again with the organization's privileges. Raises DamagedError."""
    try:
        found = await (await connection.execute(INSPECT)).fetchone()
        written = await (await connection.execute(WRITE_AND_READ)).fetchone()
    except psycopg.ProgrammingError as error:
        raise DamagedError(f"a table or a privilege is missing ({error.sqlstate})") from error
    if not found or not written:
        raise DamagedError("it has no revision")
    revision, organization_id, missing, tables, size_bytes = found
    if organization_id != organization.id:
        raise DamagedError("it belongs to another organization")
    if missing:
        raise DamagedError(f"without {', '.join(missing)}")
    return Health(HealthStatus.HEALTHY, None, revision, tables, size_bytes)


async def has_been_used(connection: AsyncConnection[TupleRow]) -> bool:
    """Return whether tables or rows differ from those after the application's migrations.

    Without Signpost's schema, any table counts.
    """
    try:
        row = await (await connection.execute(HAS_BEEN_USED)).fetchone()
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction, psycopg.errors.UndefinedTable):
        row = await (await connection.execute(HAS_TABLES)).fetchone()  # it is no copy of a template
    return row is None or row[0]


async def check(server: ProvisionServer, organization: Organization) -> Health:
    """Check the database as its members use it. All errors become a health status.

    A healthy database costs one connection. If the server refuses the connection, a second connection finds the reason.
    A refused connection has no SQLSTATE, only a text in the server's language.
    """
    async with server.slots:
        try:
            return await _inspect_as_tenant(server, organization)
        except DamagedError as error:
            return Health(HealthStatus.DAMAGED, error.reason)
        except psycopg.Error as error:
            return _health_after(error.sqlstate) if error.sqlstate else await _why_refused(server, organization)


async def _inspect_as_tenant(server: ProvisionServer, organization: Organization) -> Health:
    async with (
        database_timeout(CHECK_SECONDS),
        await server.connect_as_tenant(organization) as connection,
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
