"""Readiness of a service: a writable database with a current schema."""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from shared.db.engine import DATABASE_FAILURES

# A standby and a read-only session answer queries, too.
READ_STATE = text("""
select (select version_num from alembic_version), current_setting('transaction_read_only')::boolean
""")


class Requirement(StrEnum):
    """Check a service's needs: a writable database, and a schema that is not older than the code."""

    DATABASE = "database"
    SCHEMA = "schema"


def missing_requirements(engine: Engine, revisions: Sequence[str]) -> list[Requirement]:
    """Return the missing parts, given this release's migrations in order.

    A newer schema is fine: migrations run while the previous release still serves.
    """
    try:
        with engine.connect() as connection:
            revision, is_read_only = connection.execute(READ_STATE).one()
    except ProgrammingError:
        return [Requirement.SCHEMA]
    except DATABASE_FAILURES:
        return [Requirement.DATABASE]
    if is_read_only:
        return [Requirement.DATABASE]
    is_behind = revision is None or revision in revisions[:-1]
    return [Requirement.SCHEMA] if is_behind else []
