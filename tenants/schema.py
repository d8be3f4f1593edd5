"""Names of the organizations' databases and roles, and the revisions of their schema."""

import re
from pathlib import Path
from uuid import UUID

MEMBERS_ROLE = "signpost_tenant"
"""The role that holds the privileges on the tables. Each organization's role is a member of it."""

REVISIONS = sorted(path.name.partition("_")[0] for path in Path(__file__).parent.glob("versions/0*.py"))
"""The revisions of this release, oldest first, from the names of the migration files."""

HEAD = REVISIONS[-1]

VERSION_TABLE = "schema_revision"

TABLES_ADDED = {
    "0001": frozenset({VERSION_TABLE, "organization", "members", "settings"}),
    "0002": frozenset({"audit"}),
}

_DATABASE_NAME = re.compile(r"org_[0-9a-f]{32}")


def tables_at(revision: str) -> frozenset[str]:
    """Return the tables that a database of that revision must have.

    An unknown revision belongs to a newer release, which drops no table that this one uses.
    """
    return frozenset().union(*(TABLES_ADDED[each] for each in REVISIONS if each <= revision and each in TABLES_ADDED))


def is_behind(revision: str) -> bool:
    """Return whether a database of that revision lacks a migration of this release."""
    return revision in REVISIONS and revision != HEAD


def is_organization_database(name: str) -> bool:
    """Return whether the name has the form of an organization's database."""
    return bool(_DATABASE_NAME.fullmatch(name))


def organization_id_of(database: str) -> UUID:
    """Return the organization's id from the name of its database."""
    return UUID(database.removeprefix("org_"))


def template_name(revision: str) -> str:
    """Return the name of the template database of that revision."""
    return f"signpost_template_{revision}"
