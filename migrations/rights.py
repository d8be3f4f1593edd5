"""What the roles of the processes may do, looked at after migrating: a dump has it only where the roles are.

Whoever restores one on a server without them is told so in words that are easily missed, and each grant is lost.
"""

from pathlib import Path

from sqlalchemy import Connection, text

from shared.migrating import connected_alone

ROLES = ("signpost_api", "signpost_relay", "signpost_console")

LIST = Path(__file__).parent / "rights.sql"
"""All of them, at this release's revision; ``RENEW_RIGHTS=1`` has the tests of migrations write it anew."""

# Each in the words of a GRANT. A partition has what the migration that let relays ask it by its name gives.
HELD = text("""
with ours as (select oid, rolname from pg_roles where rolname = any(:roles)),
tables as (
    select oid, relname, relacl from pg_class where relnamespace = 'public'::regnamespace and not relispartition
)
select format('usage on schema %I to %s', nspname, rolname)
  from pg_namespace, aclexplode(nspacl) join ours on ours.oid = grantee
 where nspname = 'public' and privilege_type = 'USAGE'
union all
select format('%s on %I to %s', string_agg(lower(privilege_type), ', ' order by privilege_type), relname, rolname)
  from tables, aclexplode(relacl) join ours on ours.oid = grantee
 group by relname, rolname
union all
select format('%s (%s) on %I to %s', lower(privilege_type), string_agg(attname, ', ' order by attname),
              relname, rolname)
  from tables join pg_attribute on attrelid = tables.oid, aclexplode(attacl) join ours on ours.oid = grantee
 group by privilege_type, relname, rolname
union all
select format('execute on function %s to %s', pg_proc.oid::regprocedure, rolname)
  from pg_proc, aclexplode(proacl) join ours on ours.oid = grantee
 where pronamespace = 'public'::regnamespace
""")
OF_A_PARTITION = "select, update (lease_token, leased_until, expiries) on {partition} to signpost_relay"
PARTITIONS_WITHOUT = text("""
select inhrelid::regclass::text from pg_inherits
 where inhparent = 'outbox_messages'::regclass and not has_table_privilege('signpost_relay', inhrelid, 'select')
""")


def give_back_rights(database_url: str) -> int:
    """Make the roles, and give them their rights, where they are missing; return how many rights were.

    The schema must be at this release's revision. What somebody gave beyond is left. Raises what the database says.
    """
    with (
        connected_alone(database_url, "alembic_version", application_name="api-service migrate") as connection,
        connection.begin(),
    ):
        _make_roles(connection)
        missing = sorted(rights() - held(connection))
        missing += [OF_A_PARTITION.format(partition=name) for name in connection.scalars(PARTITIONS_WITHOUT)]
        for right in missing:
            connection.exec_driver_sql(f"grant {right}")
    return len(missing)


def rights() -> set[str]:
    """Return what the roles may do, in the words of a GRANT."""
    return {" ".join(right.split()) for right in LIST.read_text().split(";") if right.strip()}


def held(connection: Connection) -> set[str]:
    """Return what they may do in that database, partitions left out."""
    return set(connection.scalars(HELD, {"roles": list(ROLES)}))


def _make_roles(connection: Connection) -> None:
    there = set(
        connection.scalars(text("select rolname from pg_roles where rolname = any(:roles)"), {"roles": [*ROLES]})
    )
    for role in ROLES:
        if role not in there:
            connection.exec_driver_sql(f"create role {role} nologin")
