"""Which numbered files this release brings, read from their names: serving needs to know, but not all of alembic."""

from pathlib import Path

REVISIONS = sorted(path.name.partition("_")[0] for path in Path(__file__).parent.glob("versions/0*.py"))
"""Oldest first."""
