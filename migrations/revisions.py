"""Which numbered files this release brings, read from their names: serving needs to know, but not all of alembic."""

from pathlib import Path

REVISIONS = sorted(path.name.partition("_")[0] for path in Path(__file__).parent.glob("versions/0*.py"))
"""Oldest first."""


def is_of_a_newer_release(revision: str) -> bool:
    """Tell whether a numbered file that this release lacks comes after all that it brings."""
    return len(revision) == len(REVISIONS[-1]) and revision.isdecimal() and revision > REVISIONS[-1]
