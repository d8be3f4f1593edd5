"""The revisions of this release, from the names of the files. Services check them without importing alembic."""

from pathlib import Path

REVISIONS = sorted(path.name.partition("_")[0] for path in Path(__file__).parent.glob("versions/0*.py"))
"""Oldest first."""


def is_of_a_newer_release(revision: str) -> bool:
    """Return whether a revision that this release lacks comes after all of its own."""
    return len(revision) == len(REVISIONS[-1]) and revision.isdecimal() and revision > REVISIONS[-1]
