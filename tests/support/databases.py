"""Real PostgreSQL for tests: one server a worker, and for each test a migrated database without any rows.

A new database costs 20 ms, and 100 more until the processes that use it have connected, read its catalogs and prepared
their statements. So a test gets one that tests before it have used (``emptied_database``), with what they left
connected; a test that has changed the schema or that left a session at work uses its database up.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from devstack.cluster import QUICK_AND_FORGETFUL, Cluster, embedded_binaries, installed_binaries
from devstack.logins import create_logins
from migrations import commands
from shared.db.connection_settings import driver_url

TEMPLATE = "signpost_template"
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 2**30

ADMINS: dict[Cluster, psycopg.Connection] = {}
"""A connection to the cluster that a worker's tests share, for making and dropping databases."""

EMPTIED: dict[Cluster, list["Database"]] = {}
"""Databases that tests have used and that the next tests may use."""

# What a test may change beside rows: any of these catalogs that has more rows, or newer ones, shows it.
CATALOGS = (
    *("attrdef", "attribute", "class", "constraint", "default_acl", "extension", "index", "namespace"),
    *("policy", "proc", "rewrite", "trigger", "type"),
)
OWN_DATABASE = "(select oid from pg_database where datname = current_database())"
SCHEMA = "select {}, {}".format(
    ", ".join(f"(select (count(*), max(xmin::text::bigint))::text from pg_{name})" for name in CATALOGS),
    f"(select count(*) from pg_db_role_setting where setdatabase = {OWN_DATABASE}),"
    f"(select xmin::text from pg_database where oid = {OWN_DATABASE})",
)
TABLES = """
select oid::regclass::text from pg_class
 where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
"""
SEQUENCES = "select setval(oid, 1, false) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'S'"
BUSY = """
select from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and state <> 'idle'
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Database:
    """A migrated database of one test's own; each process has a login of its own role.

    ``kept`` are connections that wait to be used again, where whoever made the database closes them at its end;
    ``shared`` is what several tests use of it, one after the other, and ``ending`` ends that.
    """

    cluster: Cluster
    name: str
    kept: list[psycopg.Connection] | None = field(default=None, compare=False, repr=False)
    shared: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    ending: ExitStack = field(default_factory=ExitStack, compare=False, repr=False)

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

    def share(self, key: object, make: Callable[[], AbstractContextManager[T]]) -> T:
        """Return what ``make`` makes, once for all tests that this database serves; it ends with the database."""
        if key not in self.shared:
            self.shared[key] = self.ending.enter_context(make())
        return cast("T", self.shared[key])

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
            ADMINS[cluster], EMPTIED[cluster] = admin, []
            yield cluster
            for database in EMPTIED.pop(cluster):
                database.ending.close()
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
    database.ending.close()
    for connection in database.kept or ():
        connection.close()
    execute(cluster, f"drop database {name} with (force)")


@contextmanager
def emptied_database(cluster: Cluster) -> Iterator[Database]:
    """Return one that has the rows of a fresh one; its files and statistics may differ."""
    while EMPTIED[cluster]:
        database = EMPTIED[cluster].pop()
        if is_emptied(database):
            break
        database.ending.close()
    else:
        database = prepared_for_reuse(cluster)
    yield database
    EMPTIED[cluster].append(database)


def prepared_for_reuse(cluster: Cluster) -> Database:
    ending = ExitStack()
    database = ending.enter_context(fresh_database(cluster))
    with database.connect() as owner:
        tables = [name for (name,) in owner.execute(TABLES)]
        rows = {name: owner.execute(f"select to_jsonb(row) from {name} as row").fetchall() for name in tables}
        database.shared[SCHEMA] = owner.execute(SCHEMA).fetchone()
        database.shared[TABLES] = {name: [row for (row,) in found] for name, found in rows.items()}
    return Database(cluster, database.name, database.kept, database.shared, ending)


def is_emptied(database: Database) -> bool:
    """Bring its rows back to those of a fresh database; tell whether all else is as in one, too."""
    at_first: dict[str, list[Any]] = database.shared[TABLES]
    with suppress(psycopg.Error), database.connect() as owner:
        if owner.execute(BUSY).fetchone() or owner.execute(SCHEMA).fetchone() != database.shared[SCHEMA]:
            return False
        with owner.transaction():
            owner.execute("set local session_replication_role = replica; set local lock_timeout = '1s'")
            filled = " union all ".join(f"select '{name}' where exists (select from {name})" for name in at_first)
            for (name,) in owner.execute(filled).fetchall():
                owner.execute(f"delete from {name}")
            for name, rows in at_first.items():
                if rows:
                    read = f"select (jsonb_populate_record(null::{name}, row)).* from unnest(%s) as row"
                    owner.execute(f"insert into {name} {read}", [[Jsonb(row) for row in rows]])
            owner.execute(SEQUENCES)
        return True
    return False


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
