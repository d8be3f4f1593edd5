"""Whether a process that serves can do its work just now, and what it lacks."""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from shared.db.engine import DATABASE_FAILURES

# A standby, and whoever was told to write nothing, answer all the same.
LOOK = text("""
select (select version_num from alembic_version), current_setting('transaction_read_only')::boolean
""")


class Lack(StrEnum):
    """What can be missing: a database that can be written, or a schema that is not behind."""

    DATABASE = "database"
    SCHEMA = "schema"


def lacking(engine: Engine, revisions: Sequence[str]) -> list[Lack]:
    """Name what is missing, given this release's migrations in order; nothing, when requests can be served.

    A schema newer than this release is no lack: migrations must run while the previous release serves.
    """
    try:
        with engine.connect() as connection:
            revision, is_read_only = connection.execute(LOOK).one()
    except ProgrammingError:
        return [Lack.SCHEMA]
    except DATABASE_FAILURES:
        return [Lack.DATABASE]
    if is_read_only:
        return [Lack.DATABASE]
    is_behind = revision is None or revision in revisions[:-1]
    return [Lack.SCHEMA] if is_behind else []
