"""Whether this process can do its work just now, and what it lacks."""

from enum import StrEnum

from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from migrations.revisions import REVISIONS
from operator_console.web.errors import DATABASE_FAILURES


class Lack(StrEnum):
    """What can be missing."""

    DATABASE = "database"
    SCHEMA = "schema"


def lacking(engine: Engine) -> list[Lack]:
    """Name what is missing; nothing, when requests can be served. A schema newer than this release is no lack."""
    try:
        with engine.connect() as connection:
            revision: str | None = connection.scalar(text("select version_num from alembic_version"))
    except ProgrammingError:
        return [Lack.SCHEMA]
    except DATABASE_FAILURES:
        return [Lack.DATABASE]
    is_behind = revision is None or revision in REVISIONS[:-1]
    return [Lack.SCHEMA] if is_behind else []
