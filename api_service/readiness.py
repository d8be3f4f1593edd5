"""Whether this process can do its work just now, and what it lacks."""

from enum import StrEnum

from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from api_service.errors import DATABASE_FAILURES
from migrations.revisions import REVISIONS


class Lack(StrEnum):
    """What can be missing."""

    DATABASE = "database"
    SCHEMA = "schema"


class Readiness:
    """Knows which numbered files this release brings, and asks the database which it has had."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lacking(self) -> list[Lack]:
        """Name what is missing; nothing, when requests can be served.

        A schema newer than this release is no lack: migrations must run while the previous release serves.
        """
        try:
            revision = self._revision()
        except ProgrammingError:
            return [Lack.SCHEMA]
        except DATABASE_FAILURES:
            return [Lack.DATABASE]
        is_behind = revision is None or revision in REVISIONS[:-1]
        return [Lack.SCHEMA] if is_behind else []

    def _revision(self) -> str | None:
        with self._engine.connect() as connection:
            revision: str | None = connection.scalar(text("select version_num from alembic_version"))
        return revision
