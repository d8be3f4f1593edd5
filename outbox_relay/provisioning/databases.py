"""Create and drop organizations' databases, their roles and their template."""

from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from outbox_relay.db.connection import RelayConnection
from outbox_relay.provisioning.model import DamagedError
from outbox_relay.provisioning.server import ProvisionServer
from shared.log import get_logger
from tenants.application import run
from tenants.schema import MEMBERS_ROLE, RECORD_REVISION, SCHEMA

ROLE_CONNECTIONS = 20
OWNER_CONNECTIONS = 4
"""Connections reserved for the owner. The owner is not a superuser, so the database's connection limit also applies to
it."""

FIND_ENTRY = """
select datallowconn, datconnlimit = -2, datdba = (select oid from pg_roles where rolname = current_user)
  from pg_database where datname = %s
"""
COUNT_SESSIONS = "select count(*) from pg_stat_activity where usename = %s"
END_SESSIONS = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename in (datname, current_user)
"""
ALLOWED = """
select from pg_roles where rolname = current_user and (rolsuper or (rolcreatedb and rolcreaterole))
"""

TEMPLATE_LOCK = 0x7369676E706F7374
"""Advisory lock for making the template. No organization's id ends in this number."""

TEMPLATE_SECONDS = 55.0
"""How long to wait while another relay makes the template."""

FIND_TEMPLATE = "select from pg_database where datname = %s and datistemplate and not datallowconn"

log = get_logger("relay.provisioning")


@dataclass(frozen=True)
class CatalogEntry:
    """A database's entry in the server's catalog.

    ``is_broken``: an earlier drop was interrupted, so the relay drops it again.
    """

    is_open: bool
    is_broken: bool
    is_ours: bool


async def catalog_entry(connection: AsyncConnection[TupleRow], database: str) -> CatalogEntry | None:
    """Return the entry of a database, or None if it does not exist."""
    row = await (await connection.execute(FIND_ENTRY, [database])).fetchone()
    return CatalogEntry(*row) if row else None


async def has_exhausted_connections(connection: AsyncConnection[TupleRow], role: str) -> bool:
    """Return whether an organization's role uses all connections of its limit."""
    row = await (await connection.execute(COUNT_SESSIONS, [role])).fetchone()
    return row is not None and row[0] >= ROLE_CONNECTIONS


async def require_privileges(connection: AsyncConnection[TupleRow]) -> None:
    """Raise InsufficientPrivilege if this login has no right to create databases and roles.

    CREATE DATABASE raises the same error.
    """
    if (await connection.execute(ALLOWED)).rowcount == 0:
        raise psycopg.errors.InsufficientPrivilege("not allowed to create databases and roles")


async def ensure_role(connection: AsyncConnection[TupleRow], name: str, password: str) -> None:
    """Create the organization's role, or set the password and connection limit of an existing one.

    The server receives a SCRAM verifier (RFC 5803), so that no statement log contains the password.
    """
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    verb = sql.SQL("alter" if await _has_role(connection, name) else "create")
    await connection.execute(
        sql.SQL("{} role {} login connection limit {} password {}").format(
            verb, sql.Identifier(name), sql.Literal(ROLE_CONNECTIONS), sql.Literal(verifier)
        )
    )
    await connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(MEMBERS_ROLE), sql.Identifier(name)))


async def _has_role(connection: AsyncConnection[TupleRow], name: str) -> bool:
    return (await connection.execute("select from pg_roles where rolname = %s", [name])).rowcount > 0


async def ensure_database(connection: AsyncConnection[TupleRow], name: str, template: str) -> None:
    """Create the database from the template if it does not exist, and open it to its own role only.

    A copy does not inherit the template's privileges. So the database is created with allow_connections false.
    Connections are allowed after the right of PUBLIC to connect has been revoked.
    """
    entry = await catalog_entry(connection, name)
    if entry and not entry.is_ours:
        raise DamagedError("a database of that name belongs to another role")
    if entry and entry.is_broken:
        await connection.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
        entry = None
    if entry is None:
        await connection.execute(
            sql.SQL("create database {} template {} allow_connections false connection limit {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.Literal(ROLE_CONNECTIONS + OWNER_CONNECTIONS)
            )
        )
    await _open_to_its_role(connection, name)


async def _open_to_its_role(connection: AsyncConnection[TupleRow], name: str) -> None:
    """Allow connections for the role of the same name only."""
    database = sql.Identifier(name)
    await connection.execute(sql.SQL("revoke all on database {} from public").format(database))
    await connection.execute(sql.SQL("grant connect on database {} to {}").format(database, database))
    await connection.execute(sql.SQL("alter database {} allow_connections true").format(database))


async def close_database(connection: AsyncConnection[TupleRow], name: str) -> None:
    """Refuse further connections, also of the owner."""
    await connection.execute(sql.SQL("alter database {} allow_connections false").format(sql.Identifier(name)))


async def end_sessions(connection: AsyncConnection[TupleRow], database: str) -> None:
    """End the sessions of the owner and of the role of the same name.

    DROP DATABASE with FORCE fails if autovacuum works in the database, since only a superuser may end that.
    """
    if await _has_role(connection, database):
        # Since PostgreSQL 16, creating a role does not give its privileges, such as to end its sessions.
        await connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(database)))
    await connection.execute(END_SESSIONS, [database])


async def drop_database(connection: AsyncConnection[TupleRow], name: str) -> None:
    """Drop the database and its role, if they exist. Fails with 55006 while a client is connected."""
    for statement in ("drop database if exists {}", "drop role if exists {}"):
        await connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


class MigrationsFailedError(Exception):
    """The application's migrations failed while the template was made."""


async def ensure_current_template(server: ProvisionServer) -> str:
    """Return the name of the template with this release's schemas; make it if it does not exist.

    One relay makes it at a time. The last statement marks the database as a template, so the remains of an interrupted
    attempt are recognized, dropped and replaced.
    """
    name = server.migrations.template
    if server.has_template:
        return name
    async with await server.connect_with_lock(TEMPLATE_LOCK, seconds=TEMPLATE_SECONDS) as connection:
        if not (await connection.execute(FIND_TEMPLATE, [name])).rowcount:
            await _make_template(server, connection, name)
    server.has_template = True
    return name


async def _make_template(server: ProvisionServer, connection: RelayConnection, name: str) -> None:
    template = sql.Identifier(name)
    await connection.execute("set idle_session_timeout = 0")  # migrations may take long
    await end_sessions(connection, name)  # of a killed relay's attempt
    await connection.execute(sql.SQL("drop database if exists {}").format(template))
    await connection.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(template))
    await connection.execute(sql.SQL("revoke all on database {} from public").format(template))
    async with await server.connect_as_owner(name) as inside:
        await inside.execute(SCHEMA)
        # If this relay is killed, the child still holds the lock, so no other relay drops the template while it runs.
        reason = await run(server.migrations, server.url_of(name), connection.fileno())
        if reason is not None:
            raise MigrationsFailedError(reason)
        await inside.execute(RECORD_REVISION, [server.migrations.revision, False])
    await connection.execute(sql.SQL("alter database {} allow_connections false is_template true").format(template))
    log.info("tenant template made", revision=server.migrations.revision)
