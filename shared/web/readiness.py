"""Readiness of a service: a writable database that confirms commits, with a current schema."""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from shared.db.engine import DATABASE_FAILURES
from shared.db.preflight import is_schema_behind

# A standby and a read-only session answer queries, too.
READ_STATE = text("""
select (select version_num from alembic_version), current_setting('transaction_read_only')::boolean,
       current_setting('synchronous_standby_names') <> ''
""")
# It writes nothing but WAL. Only a transaction that has written waits for a standby.
WRITE = text("select pg_logical_emit_message(true, 'signpost', '')")


class Requirement(StrEnum):
    """A service's needs: a writable database, a standby that confirms, and a schema not older than the code."""

    DATABASE = "database"
    STANDBY = "standby"
    SCHEMA = "schema"


def missing_requirements(engine: Engine, revisions: Sequence[str]) -> list[Requirement]:
    """Return the missing parts, given this release's migrations in order."""
    try:
        with engine.connect() as connection:
            revision, is_read_only, has_standby = connection.execute(READ_STATE).one()
            if is_read_only:
                return [Requirement.DATABASE]
            if has_standby and not _confirms_commits(connection):
                return [Requirement.STANDBY]
    except ProgrammingError:
        return [Requirement.SCHEMA]
    except DATABASE_FAILURES:
        return [Requirement.DATABASE]
    return [Requirement.SCHEMA] if is_schema_behind(revision, revisions) else []


def _confirms_commits(connection: Connection) -> bool:
    """Return whether a commit returns within the connection's time limit."""
    connection.execute(WRITE)
    try:
        connection.commit()
    except DATABASE_FAILURES:
        return False
    return True
