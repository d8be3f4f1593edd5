"""Which numbered files this release brings, read from their names, and which tables they make."""

from pathlib import Path

REVISIONS = sorted(path.name.partition("_")[0] for path in Path(__file__).parent.glob("versions/0*.py"))
"""Oldest first."""

HEAD = REVISIONS[-1]

VERSION_TABLE = "schema_revision"

MADE_BY = {
    "0001": frozenset({VERSION_TABLE, "organization", "members", "settings"}),
    "0002": frozenset({"audit"}),
}
"""The tables that each revision adds."""


def tables_at(revision: str) -> frozenset[str]:
    """Return the tables that a database of that revision has at least.

    One that is not known here is a newer release's, which takes no table away that this one uses.
    """
    return frozenset().union(*(MADE_BY[each] for each in REVISIONS if each <= revision and each in MADE_BY))


def is_behind(revision: str) -> bool:
    """Tell whether a database of that revision lacks something that this release brings."""
    return revision in REVISIONS and revision != HEAD
