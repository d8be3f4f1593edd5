"""Whether a process that serves can do its work just now, and what it lacks."""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from shared.engine import DATABASE_FAILURES


class Lack(StrEnum):
    """What can be missing."""

    DATABASE = "database"
    SCHEMA = "schema"


def lacking(engine: Engine, revisions: Sequence[str]) -> list[Lack]:
    """Name what is missing, given this release's migrations in order; nothing, when requests can be served.

    A schema newer than this release is no lack: migrations must run while the previous release serves.
    """
    try:
        with engine.connect() as connection:
            revision: str | None = connection.scalar(text("select version_num from alembic_version"))
    except ProgrammingError:
        return [Lack.SCHEMA]
    except DATABASE_FAILURES:
        return [Lack.DATABASE]
    is_behind = revision is None or revision in revisions[:-1]
    return [Lack.SCHEMA] if is_behind else []
