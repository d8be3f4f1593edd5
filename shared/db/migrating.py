"""Run alembic from code, for Signpost's own schema and for organizations' databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, text

from shared.db.connection_settings import SET_IN_OWN_SESSION, UTF8, own_session_parameters
from shared.db.engine import engine_url

SETTINGS = {
    # Short: while a migration waits for a table's lock, all later statements on the table wait behind it.
    "lock_timeout": "3s",
    "statement_timeout": "15min",
}


class MigrationError(Exception):
    """The database cannot be migrated, for a reason other than a failed statement."""

    needed: str | None = None
    """The missing parts that the operator needs to provide."""


class UnknownRevisionError(MigrationError):
    """The database has a revision that is not part of this release, most likely a newer release's."""

    def __init__(self, revision: str) -> None:
        super().__init__(revision)
        self.revision = revision


class PoolerError(MigrationError):
    """The URL leads to a connection pooler, where session settings and locks would affect other clients."""

    needed = "a URL that leads past the pooler"


@dataclass(frozen=True)
class Migrations:
    """A folder of migrations with its ``env.py``."""

    folder: Path

    def configuration(self, database_url: str) -> Config:
        """Return alembic's configuration. The URL is passed as an attribute, since alembic would interpret ``%``."""
        config = Config()
        config.set_main_option("script_location", str(self.folder))
        config.attributes["database_url"] = database_url
        return config

    def upgrade(self, database_url: str, revision: str = "head") -> None:
        """Upgrade to ``revision``, in one transaction per migration.

        Raises UnknownRevisionError, PoolerError and database errors.
        """
        try:
            command.upgrade(self.configuration(database_url), revision)
        except CommandError as error:
            if isinstance(error.__cause__, ResolutionError):
                raise UnknownRevisionError(error.__cause__.argument) from error
            raise


def run_migrations(application_name: str, version_table: str, *, lock_timeout: str = "15min", **options: Any) -> None:
    """Run the command that alembic received, with a transaction for each migration; for ``env.py``."""
    url = context.config.attributes["database_url"]
    with exclusive_connection(
        url, version_table, application_name=application_name, lock_timeout=lock_timeout
    ) as connection:
        context.configure(connection=connection, version_table=version_table, transaction_per_migration=True, **options)
        with context.begin_transaction():
            context.run_migrations()


@contextmanager
def exclusive_connection(
    database_url: str, version_table: str, *, application_name: str, lock_timeout: str = "15min"
) -> Iterator[Connection]:
    """Connect with an advisory lock that excludes other migrations of the database.

    ``lock_timeout``, in PostgreSQL's notation, limits the wait for another migration.
    """
    engine = create_engine(
        engine_url(database_url),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"application_name": application_name} | UTF8,
    )
    with engine.connect() as connection:
        with connection.begin():
            _apply_settings(connection)
            # Two at once would run the same migrations. The second one waits, and then finds the schema up to date.
            connection.execute(text(f"set local lock_timeout = '{lock_timeout}'"))
            connection.execute(text("select pg_advisory_lock(hashtext(:name))"), {"name": version_table})
        yield connection


def _apply_settings(connection: Connection) -> None:
    """Apply the session's settings. Raises PoolerError in a pooler's session."""
    driver: Any = connection.connection.driver_connection  # None only of a connection that is closed
    parameters = own_session_parameters(SETTINGS, driver.info.backend_pid)
    if not connection.exec_driver_sql(SET_IN_OWN_SESSION, tuple(parameters)).rowcount:
        raise PoolerError
