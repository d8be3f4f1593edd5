"""Roles and databases of organizations: made, opened to one role each, and dropped."""

from dataclasses import dataclass

from psycopg import AsyncConnection, sql
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import TupleRow

from outbox_relay.provisioning.organization import DamagedError
from tenants.naming import MEMBERS

ROLE_CONNECTIONS = 20
OWNER_CONNECTIONS = 4
"""Of a database's limit, for us: the owner of a database is no superuser, and limits count for it too."""

Connection = AsyncConnection[TupleRow]

FIND_ENTRY = """
select datallowconn, datconnlimit = -2, datdba = (select oid from pg_roles where rolname = current_user)
  from pg_database where datname = %s
"""
COUNT_SESSIONS = "select count(*) from pg_stat_activity where usename = %s"
ALLOWED = """
select from pg_roles where rolname = current_user and (rolsuper or (rolcreatedb and rolcreaterole))
"""


@dataclass(frozen=True)
class CatalogueEntry:
    """What the server's catalogue says of a database that exists.

    ``is_broken``: dropping it was interrupted, and it can only be dropped again.
    """

    is_open: bool
    is_broken: bool
    is_ours: bool


async def catalogue_entry(connection: Connection, database: str) -> CatalogueEntry | None:
    """Return what is said of a database, or None if there is none of that name."""
    row = await (await connection.execute(FIND_ENTRY, [database])).fetchone()
    return CatalogueEntry(*row) if row else None


async def has_its_role_all_connections(connection: Connection, role: str) -> bool:
    """Tell whether an organization's role has as many sessions as it may, so that it gets no other."""
    row = await (await connection.execute(COUNT_SESSIONS, [role])).fetchone()
    return row is not None and row[0] >= ROLE_CONNECTIONS


async def refuse_unless_allowed(connection: Connection) -> None:
    """Raise InsufficientPrivilege where we may make no databases or roles, as the server would on being asked to."""
    if (await connection.execute(ALLOWED)).rowcount == 0:
        raise InsufficientPrivilege("not allowed to make databases and roles")


async def make_role(connection: Connection, name: str, password: str) -> None:
    """See to it that the organization's role is there, limited, and logs in with that password.

    The password goes to the server as a SCRAM verifier (RFC 5803), so that no log of statements shows it.
    """
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    found = await connection.execute("select from pg_roles where rolname = %s", [name])
    verb = sql.SQL("alter" if found.rowcount else "create")
    await connection.execute(
        sql.SQL("{} role {} login connection limit {} password {}").format(
            verb, sql.Identifier(name), sql.Literal(ROLE_CONNECTIONS), sql.Literal(verifier)
        )
    )
    await connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(MEMBERS), sql.Identifier(name)))


async def make_database(connection: Connection, name: str, template: str) -> None:
    """See to it that the database is there and open to its own role only.

    It is made closed, and opened once nobody else may connect: a database does not inherit that from its template.
    """
    entry = await catalogue_entry(connection, name)
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
    await open_to(connection, name)


async def open_to(connection: Connection, name: str) -> None:
    """Let the role of the same name connect to the database, and nobody else."""
    database = sql.Identifier(name)
    await connection.execute(sql.SQL("revoke all on database {} from public").format(database))
    await connection.execute(sql.SQL("grant connect on database {} to {}").format(database, database))
    await connection.execute(sql.SQL("alter database {} allow_connections true").format(database))


async def drop_database(connection: Connection, name: str) -> None:
    """Take the database and its role away, if they are there; who is still connected makes it fail (55006)."""
    for statement in ("drop database if exists {}", "drop role if exists {}"):
        await connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
