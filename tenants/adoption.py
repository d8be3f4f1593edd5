"""Take over a database of an earlier system as an organization's database.

Every step can be repeated: the organization's id is in the database before the database gets its new name.
"""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from tenants.databases import connect, url_of
from tenants.schema import SCHEMA, is_organization_database

CHECK = """
select datallowconn and not datistemplate, pg_encoding_to_char(encoding) = 'UTF8',
       pg_get_userbyid(datdba), datdba = current_user::regrole,
       array(select grantee::regrole::text from aclexplode(datacl)
              where privilege_type = 'CONNECT' and grantee not in (0, datdba))
  from pg_database where datname = %s
"""
# Workers of autovacuum have no user. PostgreSQL ends them when it renames the database.
SESSIONS = "select count(*) from pg_stat_activity where datname = %s and usesysid is not null"
PATIENCE_SECONDS = 2.0
"""A session is still listed for a moment after its client has ended."""
OWNERS = """
select distinct pg_get_userbyid(relowner) from pg_class join pg_namespace on pg_namespace.oid = relnamespace
 where nspname <> 'information_schema' and nspname !~ '^pg_' and relowner <> current_user::regrole
"""
HAS_SCHEMA = "select to_regclass('signpost.database') is not null"
ID = "select organization_id from signpost.database"
SET_ID = "update signpost.database set organization_id = coalesce(organization_id, %s) returning organization_id"

# A row count of -1 is never equal to the real one: the database counts as used, without its rows being read.
OPEN_AND_MARK_AS_USED = """
revoke create on schema public from public;
do $$
declare
    schema_name text;
begin
    for schema_name in select distinct schemaname from pg_tables
                        where schemaname not in ('signpost', 'information_schema') and schemaname !~ '^pg_' loop
        execute format('grant usage on schema %1$I to signpost_tenant;
                        grant select, insert, update, delete on all tables in schema %1$I to signpost_tenant;
                        grant usage, select on all sequences in schema %1$I to signpost_tenant', schema_name);
    end loop;
end
$$;
insert into signpost.tables select name, -1, 0 from signpost.existing_tables on conflict do nothing
"""


@dataclass(frozen=True)
class Candidate:
    """A database to adopt: what must be done first, and the organization's id that an interrupted adoption wrote."""

    problems: tuple[str, ...]
    organization_id: UUID | None = None


def inspect_candidate(url: str, database: str) -> Candidate:
    """Check the database without changing it. Raises psycopg.Error if the server does not respond."""
    with connect(url) as connection:
        found = connection.execute(CHECK, [database]).fetchone()
        sessions = _lasting_sessions(connection, database)
    if found is None:
        return Candidate(("it does not exist",))
    is_open, is_utf8, owner, is_ours, grantees = found
    problems = []
    if not is_open or database == "postgres":
        problems.append("it is closed, a template or the server's own")
    if not is_utf8:
        problems.append("its encoding is not UTF8")
    if sessions:
        problems.append("a session uses it" if sessions == 1 else f"{sessions} sessions use it")
    problems += [f"{each} may connect: revoke that" for each in grantees]
    if not is_ours:
        problems.append(f"it belongs to {owner}: change the owner")
    if problems:
        return Candidate(tuple(problems))
    with connect(url_of(url, database)) as inside:
        others = [f"tables belong to {each}: use reassign owned" for (each,) in inside.execute(OWNERS)]
        return Candidate(tuple(others), _id_in(inside, database))


def _lasting_sessions(connection: psycopg.Connection[Any], database: str) -> int:
    """Return how many sessions use the database, after a short wait for them to end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        [(count,)] = connection.execute(SESSIONS, [database]).fetchall()
        if not count or time.monotonic() > deadline:
            return int(count)
        time.sleep(0.1)


def take_over(url: str, database: str, organization_id: UUID, name: str) -> None:
    """Write the organization's id into the database, open its tables to the organization's role, and rename it."""
    with connect(url_of(url, database)) as inside, inside.transaction():
        inside.execute(SCHEMA)
        inside.execute(SET_ID, [organization_id])
        inside.execute(OPEN_AND_MARK_AS_USED)
    if database != name:
        statement = sql.SQL("alter database {} rename to {}").format(sql.Identifier(database), sql.Identifier(name))
        with connect(url) as connection:
            connection.execute(statement)


def _id_in(connection: psycopg.Connection[Any], database: str) -> UUID | None:
    [(has_schema,)] = connection.execute(HAS_SCHEMA)
    row = connection.execute(ID).fetchone() if has_schema else None
    if row is None and is_organization_database(database):
        return UUID(database.removeprefix("org_"))
    return row[0] if row else None
