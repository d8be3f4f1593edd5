"""Real PostgreSQL for tests: one server a worker, and for each test a fresh copy of a migrated database."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from devstack.cluster import QUICK_AND_FORGETFUL, Cluster, embedded_binaries, installed_binaries
from devstack.logins import create_logins
from migrations import commands
from shared.database import driver_url

TEMPLATE = "signpost_template"
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Database:
    """A migrated database of one test's own; each process has a login of its own role."""

    cluster: Cluster
    name: str

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

    def connect(self) -> psycopg.Connection:
        """Connect as the owner, in autocommit: for looking at rows and for moving their times."""
        return psycopg.connect(driver_url(self.owner_url), autocommit=True)


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
        yield cluster


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
    yield Database(cluster, name)
    execute(cluster, f"drop database {name} with (force)")


def execute(cluster: Cluster, statement: str) -> None:
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
