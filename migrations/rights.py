"""What the roles of the processes may do, looked at after migrating: a dump has it only where the roles are.

Whoever restores one on a server without them is told so in words that are easily missed, and each grant is lost.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from shared.db.migrating import MigrationError, exclusive_connection

ROLES = ("signpost_api", "signpost_relay", "signpost_console")

LIST = Path(__file__).parent / "sql" / "rights.sql"
"""The grants of this release's schema. The baseline runs this file; later migrations add theirs to it and run them."""

# Each in the words of a GRANT of one thing.
HELD = text("""
with ours as (select oid, rolname from pg_roles where rolname = any(:roles)),
tables as (
    select oid, relname, relacl from pg_class where relnamespace = 'public'::regnamespace and not relispartition
)
select format('usage on schema %I to %s', nspname, rolname)
  from pg_namespace, aclexplode(nspacl) join ours on ours.oid = grantee
 where nspname = 'public' and privilege_type = 'USAGE'
union
select format('%s on %I to %s', lower(privilege_type), relname, rolname)
  from tables, aclexplode(relacl) join ours on ours.oid = grantee
union
select format('%s (%I) on %I to %s', lower(privilege_type), attname, relname, rolname)
  from tables join pg_attribute on attrelid = tables.oid, aclexplode(attacl) join ours on ours.oid = grantee
 where not attisdropped
union
select format('execute on function %s to %s', pg_proc.oid::regprocedure, rolname)
  from pg_proc, aclexplode(proacl) join ours on ours.oid = grantee
 where pronamespace = 'public'::regnamespace
""")
COMMENT = re.compile(r"^--.*$", re.MULTILINE)
RIGHT = re.compile(
    r"(?:grant )?(?P<what>[a-z, ]+?)(?: \((?P<columns>.+)\))?"
    r" on (?P<kind>schema |function )?(?P<name>.+) to (?P<role>\w+)"
)


class RightsMissingError(MigrationError):
    """The schema is there, and somebody else's are things that the roles need."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__()
        self.needed = "; ".join(f"grant {right}" for right in missing)


def give_back_rights(database_url: str) -> int:
    """Make the roles, and give them their rights, where they are missing; return how many rights were.

    The schema must be at this release's revision. What somebody gave beyond is left. Raises RightsMissingError, with
    what could be given given, or what the database says.
    """
    with (
        exclusive_connection(database_url, "alembic_version", application_name="api-service migrate") as connection,
        connection.begin(),
    ):
        make_roles(connection)
        missing = lacking(connection)
        for right in missing:
            with suppress(ProgrammingError), connection.begin_nested():
                connection.exec_driver_sql(f"grant {right}")
        left = lacking(connection) if missing else []
    if left:
        raise RightsMissingError(left)
    return len(missing)


def lacking(connection: Connection) -> list[str]:
    """Return what the roles may not do, though they should, in the words of a GRANT."""
    return [right for right in sorted(rights() - held(connection)) if not _is_had(connection, right)]


def rights() -> set[str]:
    """Return what the roles may do, each thing in the words of a GRANT."""
    found: set[str] = set()
    for given in COMMENT.sub("", LIST.read_text()).split(";"):
        if right := RIGHT.fullmatch(" ".join(given.split())):
            columns = [f" ({name})" for name in right["columns"].split(", ")] if right["columns"] else [""]
            about = f"{right['kind'] or ''}{right['name']} to {right['role']}"
            found |= {f"{what}{column} on {about}" for what in right["what"].split(", ") for column in columns}
    return found


def held(connection: Connection) -> set[str]:
    """Return what they were given in that database, partitions left out."""
    return set(connection.scalars(HELD, {"roles": list(ROLES)}))


def _is_had(connection: Connection, right: str) -> bool:
    """Tell whether a right that was not given itself is had all the same: as everybody's, or as part of another."""
    asked = RIGHT.fullmatch(right)
    if asked is None:
        raise ValueError(right)
    kind = "column" if asked["columns"] else (asked["kind"] or "table").strip()
    arguments = [asked["role"], asked["name"], *([asked["columns"]] if asked["columns"] else []), asked["what"]]
    places = ", ".join(f":a{number}" for number in range(len(arguments)))
    values = {f"a{number}": argument for number, argument in enumerate(arguments)}
    return bool(connection.scalar(text(f"select has_{kind}_privilege({places})"), values))


def make_roles(connection: Connection) -> None:
    """Create the roles that the server lacks."""
    there = set(
        connection.scalars(text("select rolname from pg_roles where rolname = any(:roles)"), {"roles": [*ROLES]})
    )
    for role in ROLES:
        if role not in there:
            # Roles are the server's: another database's migration may make them at the same moment.
            with suppress(ProgrammingError), connection.begin_nested():
                connection.exec_driver_sql(f"create role {role} nologin")
