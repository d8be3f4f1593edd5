"""The rights of the processes' roles, granted by the last migration and checked after each upgrade.

A dump contains grants, but not the roles. A restore on a server without the roles loses all grants, and ``psql``
reports that only in passing.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from shared.db.migrating import MigrationError, exclusive_connection

ROLES = ("signpost_api", "signpost_relay", "signpost_console", "signpost_receiver")

LIST = Path(__file__).parent / "rights.sql"
"""The grants of this release's schema."""

GRANT = re.compile(
    r"^grant (?P<privileges>[a-z, ]+?)(?: \((?P<columns>[^)]+)\))?\s+on\s+(?:(?P<kind>schema|function)\s+)?"
    r"(?P<objects>[^;]+?)\s+to (?P<role>\w+);",
    re.MULTILINE,
)


class Right(NamedTuple):
    """A privilege on a table, or on a column of it, or on an object of another kind."""

    name: str
    privilege: str
    column: str
    kind: str
    role: str

    def __str__(self) -> str:
        """Return the words that follow GRANT."""
        column, kind = f" ({self.column})" if self.column else "", f"{self.kind} " if self.kind else ""
        return f"{self.privilege}{column} on {kind}{self.name} to {self.role}"

    def is_held(self, connection: Connection) -> bool:
        """Return whether the role has the right in that database."""
        kind = "column" if self.column else self.kind or "table"
        column = ":column, " if self.column else ""
        return bool(
            connection.scalar(text(f"select has_{kind}_privilege(:role, :name, {column}:privilege)"), self._asdict())
        )


class RightsMissingError(MigrationError):
    """The roles lack rights on objects that belong to another login."""

    def __init__(self, missing: Sequence[Right]) -> None:
        super().__init__()
        self.needed = "; ".join(f"grant {right}" for right in missing)


def grant_rights(connection: Connection) -> None:
    """Create missing roles and run LIST, in the caller's transaction."""
    make_roles(connection)
    # The driver accepts a file of many statements and does not interpret `%` and `:` in it.
    driver: Any = connection.connection.driver_connection
    driver.execute(LIST.read_text(), prepare=False)


def restore_rights(database_url: str) -> int:
    """Create missing roles and grant missing rights; return the number of rights granted.

    The schema must be at this release's revision. Additional rights of the roles stay. Raises database errors, and
    RightsMissingError after it granted what it could.
    """
    with (
        exclusive_connection(database_url, "alembic_version", application_name="api-service migrate") as connection,
        connection.begin(),
    ):
        make_roles(connection)
        missing = missing_rights(connection)
        for right in missing:
            with suppress(ProgrammingError), connection.begin_nested():
                connection.exec_driver_sql(f"grant {right}")
        left = missing_rights(connection) if missing else []
    if left:
        raise RightsMissingError(left)
    return len(missing)


def missing_rights(connection: Connection) -> list[Right]:
    """Return the rights that the roles lack. A role may also have a right through a grant to all roles."""
    return [right for right in sorted(rights()) if not right.is_held(connection)]


def rights() -> set[Right]:
    """Return all rights in LIST."""
    found: set[Right] = set()
    for grant in GRANT.finditer(LIST.read_text()):
        columns = _listed(grant["columns"]) if grant["columns"] else [None]
        for privilege, column, name in product(_listed(grant["privileges"]), columns, _listed(grant["objects"])):
            found.add(Right(name, privilege, column or "", grant["kind"] or "", grant["role"]))
    return found


def _listed(text_of_list: str) -> list[str]:
    """Split a list. The commas between the arguments of a function have no space after them."""
    return re.split(r",\s+", text_of_list)


def make_roles(connection: Connection) -> None:
    """Create the roles that the server lacks."""
    there = set(
        connection.scalars(text("select rolname from pg_roles where rolname = any(:roles)"), {"roles": [*ROLES]})
    )
    for role in ROLES:
        if role not in there:
            # Roles belong to the server: another database's migration may create them at the same moment.
            with suppress(ProgrammingError), connection.begin_nested():
                connection.exec_driver_sql(f"create role {role} nologin")
