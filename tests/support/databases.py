"""Real PostgreSQL for tests: one server a worker, and for each test a fresh copy of a migrated database."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from devstack.cluster import QUICK_AND_FORGETFUL, Cluster, embedded_binaries, installed_binaries
from devstack.logins import create_logins
from migrations import commands
from shared.database import driver_url

TEMPLATE = "signpost_template"
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 2**30

ADMINS: dict[Cluster, psycopg.Connection] = {}
"""A connection to the cluster that a worker's tests share, for making and dropping databases."""


@dataclass(frozen=True)
class Database:
    """A migrated database of one test's own; each process has a login of its own role.

    ``kept`` are connections that wait to be used again, where whoever made the database closes them at its end.
    """

    cluster: Cluster
    name: str
    kept: list[psycopg.Connection] | None = field(default=None, compare=False, repr=False)

    @property
    def owner_url(self) -> str:
        return self.cluster.url(self.name)

    @property
    def api_url(self) -> str:
        return self.cluster.url(self.name, user="api")

    @property
    def relay_url(self) -> str:
        return self.cluster.url(self.name, user="relay")

    @property
    def console_url(self) -> str:
        return self.cluster.url(self.name, user="console")

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """Connect as the owner, in autocommit: for looking at rows and for moving their times.

        A new connection costs the server a hundred times what a look at a row does.
        """
        connection = self.kept.pop() if self.kept else new_connection(self.owner_url)
        with ExitStack() as ending:
            ending.enter_context(connection)
            yield connection
            if self.kept is not None and is_as_new(connection):
                ending.pop_all()
                self.kept.append(connection)


def new_connection(url: str) -> psycopg.Connection:
    # Nothing is prepared behind its back: what is forgotten between two uses takes prepared statements along.
    return psycopg.connect(driver_url(url), autocommit=True, prepare_threshold=None)


def is_as_new(connection: psycopg.Connection) -> bool:
    """Forget what the session was told, and tell whether it can be used by somebody else."""
    if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
        return False
    connection.execute("discard all")
    return True


@contextmanager
def migrated_cluster() -> Iterator[Cluster]:
    binaries = embedded_binaries()
    if os.environ.get("SIGNPOST_TEST_POSTGRES") == "installed":
        installed = installed_binaries()
        if installed is None:
            pytest.skip("this machine has no PostgreSQL server of its own installed")
        binaries = installed
    with Cluster(binaries, settings=QUICK_AND_FORGETFUL, with_tcp=True, parent=memory_if_enough()) as cluster:
        execute(cluster, f"create database {TEMPLATE}")
        migrate(cluster.url(TEMPLATE))
        create_logins(cluster.url(TEMPLATE))
        with psycopg.connect(driver_url(cluster.url("postgres")), autocommit=True) as admin:
            ADMINS[cluster] = admin
            yield cluster
            del ADMINS[cluster]


def migrate(url: str) -> None:
    """Bring a database to the schema beside these tests, or to that of another source (`make test-upgrade`)."""
    source = os.environ.get("SIGNPOST_TEST_SCHEMA_FROM")
    if source is None:
        commands.upgrade(url)
        return
    code = "import sys; from migrations.commands import upgrade; upgrade(sys.argv[1])"
    # In that folder, and with nothing of this one in sight: its migrations may use what only its own packages have.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code, url], cwd=source, env=environment, check=True)


def memory_if_enough() -> Path | None:
    """Return where files lie in memory: a database is a few hundred of them, which a disk takes its time to copy."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    return MEMORY if has_room else None


@contextmanager
def fresh_database(cluster: Cluster, template: str = TEMPLATE) -> Iterator[Database]:
    name = f"test_{uuid4().hex}"
    # Half the work of copying through the log, for a template that nobody writes to (PostgreSQL 15 and later).
    execute(cluster, f"create database {name} template {template} strategy file_copy")
    database = Database(cluster, name, kept=[])
    yield database
    for connection in database.kept:
        connection.close()
    execute(cluster, f"drop database {name} with (force)")


def execute(cluster: Cluster, statement: str) -> None:
    if cluster in ADMINS:
        ADMINS[cluster].execute(statement)
        return
    with psycopg.connect(driver_url(cluster.url("postgres")), autocommit=True) as connection:
        connection.execute(statement)


def is_refused(url: str, statement: str) -> bool:
    """Tell whether the role that the URL logs in as lacks the right to do that."""
    with psycopg.connect(driver_url(url)) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False
