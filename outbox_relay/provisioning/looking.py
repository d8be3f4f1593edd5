"""What is in an organization's database: seeded at the beginning, and looked at ever after."""

from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from outbox_relay.provisioning.organization import DamagedError, Organization
from tenants.revisions import VERSION_TABLE, tables_at

PROBE = "signpost.checked_at"
"""The setting that each look writes."""

SEED_ORGANIZATION = "insert into organization (id, name, country) values (%s, %s, %s) on conflict do nothing"
SEED_FOUNDER = "insert into members (user_id, full_name, role) values (%s, %s, 'founder') on conflict do nothing"
SEED_AUDIT = """
insert into audit (user_id, action, about)
select %s, 'founded', %s where not exists (select from audit where action = 'founded')
"""

TABLES = """
array(select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p'))
"""

FIND = f"""
select (select version_num from {VERSION_TABLE}),
       (select id from organization),
       {TABLES},
       pg_database_size(current_database())
"""  # noqa: S608 - a name of our own

WRITE_AND_READ = """
insert into settings (name, value) values (%s, to_jsonb(clock_timestamp()))
on conflict (name) do update set value = excluded.value, changed_at = now() returning value
"""

OF_WORK = ("members", "audit")
"""One row in each is ours: the founder, and the founding."""


@dataclass(frozen=True)
class Findings:
    """What a look found in a database that is as it should be."""

    revision: str
    tables: int
    size_bytes: int


async def seed(connection: AsyncConnection[TupleRow], organization: Organization) -> None:
    """Write whose database it is and who founded it; what is there already stays."""
    async with connection.transaction():
        about = (organization.id, organization.name, organization.country)
        await connection.execute(SEED_ORGANIZATION, about)
        await connection.execute(SEED_FOUNDER, (organization.founder_id, organization.founder_full_name))
        await connection.execute(SEED_AUDIT, (organization.founder_id, Jsonb({})))


async def look(connection: AsyncConnection[TupleRow], organization: Organization) -> Findings:
    """Read, write and read again, with the rights that its members have. Raises DamagedError."""
    try:
        [(revision, whose, tables, size_bytes)] = await (await connection.execute(FIND)).fetchall()
        written = await (await connection.execute(WRITE_AND_READ, [PROBE])).fetchone()
    except psycopg.ProgrammingError as error:
        raise DamagedError(f"a table or a right is missing ({error.sqlstate})") from error
    if whose != organization.id:
        raise DamagedError("it is not this organization's")
    if missing := tables_at(revision or "") - set(tables):
        raise DamagedError(f"without {', '.join(sorted(missing))}")
    if not revision or not written:
        raise DamagedError("it has no revision")
    return Findings(revision, len(tables), size_bytes)


async def revision_of(connection: AsyncConnection[TupleRow]) -> str | None:
    """Return how far its tables have come, or None where there are none."""
    try:
        row = await (await connection.execute(f"select version_num from {VERSION_TABLE}")).fetchone()  # noqa: S608 - a name of our own
    except psycopg.errors.UndefinedTable:
        return None
    return row[0] if row else None


async def refuse_if_tables_are_gone(connection: AsyncConnection[TupleRow], revision: str | None) -> None:
    """Raise DamagedError where tables were dropped: what was in them no repair can bring back, so none is made anew."""
    [(tables,)] = await (await connection.execute(f"select {TABLES}")).fetchall()
    expected = tables_at(revision) if revision else {VERSION_TABLE} if set(tables) - {VERSION_TABLE} else set()
    if missing := expected - set(tables):
        raise DamagedError(f"without {', '.join(sorted(missing))}, which has to come from a backup")
    if expected and not revision:
        raise DamagedError(f"{VERSION_TABLE} is empty: write into it which revision the tables have")


async def has_been_used(connection: AsyncConnection[TupleRow]) -> bool:
    """Tell whether anybody but us has changed it: members or deeds beside those that we wrote, or tables gone."""
    revision = await revision_of(connection)
    try:
        await refuse_if_tables_are_gone(connection, revision)
    except DamagedError:
        return True
    for table in sorted(tables_at(revision or "").intersection(OF_WORK)):
        row = await (await connection.execute(f"select count(*) > 1 from {table}")).fetchone()  # noqa: S608 - names of our own
        if row and row[0]:
            return True
    return False
