"""Alembic from code: Signpost's own schema and that of each organization's database are migrated alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, text

from shared.engine import engine_url
from shared.sessions import IN_UTF8, SET_IN_OWN_SESSION, own_session_parameters

SETTINGS = {
    # Short: while a migration waits for a table, everyone who comes after it waits too.
    "lock_timeout": "3s",
    "statement_timeout": "15min",
}


class NotMigratedError(Exception):
    """A database was left as it is, for a reason that no statement told."""

    needed: str | None = None
    """What to do about it."""


class UnknownRevisionError(NotMigratedError):
    """The database has a revision that this release does not bring: most likely a newer release's."""

    def __init__(self, revision: str) -> None:
        super().__init__(revision)
        self.revision = revision


class PooledError(NotMigratedError):
    """The URL leads to a pooler, where no session is ours: what is set and locked in one would be anybody's."""

    needed = "a URL that leads past the pooler"


@dataclass(frozen=True)
class Migrations:
    """A folder of numbered files, beside the ``env.py`` that runs them."""

    folder: Path

    def configuration(self, database_url: str) -> Config:
        """Return alembic's configuration for that database; ``%`` in the URL is kept as it is."""
        config = Config()
        config.set_main_option("script_location", str(self.folder))
        config.attributes["database_url"] = database_url
        return config

    def upgrade(self, database_url: str, revision: str = "head") -> None:
        """Bring the schema up to ``revision``, in one transaction per numbered file.

        Raises UnknownRevisionError, PooledError, and what the database says.
        """
        try:
            command.upgrade(self.configuration(database_url), revision)
        except CommandError as error:
            if isinstance(error.__cause__, ResolutionError):
                raise UnknownRevisionError(error.__cause__.argument) from error
            raise

    def downgrade(self, database_url: str, revision: str) -> None:
        """Take the schema back to ``revision``; ``base`` leaves nothing but the roles."""
        command.downgrade(self.configuration(database_url), revision)

    def check(self, database_url: str) -> None:
        """Raise unless the models and the migrated schema agree."""
        command.check(self.configuration(database_url))


@contextmanager
def connected_alone(
    database_url: str, version_table: str, *, application_name: str, patience: str = "15min"
) -> Iterator[Connection]:
    """Connect as the only one who migrates that database, with bounded waits; for the ``env.py``.

    ``patience`` is for how long to wait for another who does, in PostgreSQL's words.
    """
    engine = create_engine(
        engine_url(database_url),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"application_name": application_name} | IN_UTF8,
    )
    with engine.connect() as connection:
        with connection.begin():
            _set_up(connection)
            # Two at once would run the same file. The second waits, and then finds nothing to do.
            connection.execute(text(f"set local lock_timeout = '{patience}'"))
            connection.execute(text("select pg_advisory_lock(hashtext(:name))"), {"name": version_table})
        yield connection


def _set_up(connection: Connection) -> None:
    """Set the settings for good. Raises PooledError where the session is not our own."""
    driver: Any = connection.connection.driver_connection  # None only of a connection that is closed
    parameters = own_session_parameters(SETTINGS, driver.info.backend_pid)
    if not connection.exec_driver_sql(SET_IN_OWN_SESSION, tuple(parameters)).rowcount:
        raise PooledError
