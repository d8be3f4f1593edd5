"""Real PostgreSQL for tests: one server per worker, and a migrated, empty database for each test.

A new database costs 20 ms. Processes need another 100 ms to connect, read the catalogs and prepare statements.
So a test reuses a database of earlier tests with its connections (``emptied_database``). A database is not reused
after a test changed its schema or left a busy session.
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
"""One administrative connection per cluster, which creates and drops databases for all tests of a worker."""

EMPTIED: dict[Cluster, list["Database"]] = {}
"""Used databases that are ready for the next tests."""

# Catalogs that a test may change: a changed schema shows as more or newer rows in one of them.
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
    """A migrated database for one test at a time, with one login for each process.

    ``idle_connections`` are open connections for reuse, which the creator of the database closes at the end.
    ``shared`` holds objects that several tests use in turn, and ``ending`` closes them.
    """

    cluster: Cluster
    name: str
    idle_connections: list[psycopg.Connection] | None = field(default=None, compare=False, repr=False)
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

    @property
    def receiver_url(self) -> str:
        return self.cluster.url(self.name, user="receiver")

    def share(self, key: object, make: Callable[[], AbstractContextManager[T]]) -> T:
        """Return the object that ``make`` creates. It is created once, and closed with the database."""
        if key not in self.shared:
            self.shared[key] = self.ending.enter_context(make())
        return cast("T", self.shared[key])

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """Connect as the owner, in autocommit mode, to read rows and to change their times.

        The connection is reused: a new one costs the server a hundred times as much as a query for one row.
        """
        connection = self.idle_connections.pop() if self.idle_connections else new_connection(self.owner_url)
        with ExitStack() as ending:
            ending.enter_context(connection)
            yield connection
            if self.idle_connections is not None and reset(connection):
                ending.pop_all()
                self.idle_connections.append(connection)


def new_connection(url: str) -> psycopg.Connection:
    # Automatic preparation is off, because `discard all` between two uses also drops prepared statements.
    return psycopg.connect(driver_url(url), autocommit=True, prepare_threshold=None)


def reset(connection: psycopg.Connection) -> bool:
    """Reset the session, and return whether another test can use it."""
    if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
        return False
    connection.execute("discard all")
    return True


@contextmanager
def migrated_cluster() -> Iterator[Cluster]:
    wants_installed = os.environ.get("SIGNPOST_TEST_POSTGRES") == "installed"
    binaries = (installed_binaries() if wants_installed else None) or embedded_binaries()
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
    """Migrate a database to this source's schema, or to another source's (`make test-upgrade`)."""
    source = os.environ.get("SIGNPOST_TEST_SCHEMA_FROM")
    if source is None:
        commands.upgrade(url)
        return
    code = "import sys; from migrations.commands import upgrade; upgrade(sys.argv[1])"
    # Run in that folder without this project on the path: its migrations may need its own packages.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code, url], cwd=source, env=environment, check=True)


def memory_if_enough() -> Path | None:
    """Return a folder in memory if it has room: a database has hundreds of files, which a disk copies slowly."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    return MEMORY if has_room else None


@contextmanager
def fresh_database(cluster: Cluster, template: str = TEMPLATE) -> Iterator[Database]:
    name = f"test_{uuid4().hex}"
    # File copy takes half the time of a copy through the log, and no session writes to the template (PostgreSQL 15+).
    execute(cluster, f"create database {name} template {template} strategy file_copy")
    database = Database(cluster, name, idle_connections=[])
    yield database
    database.ending.close()
    for connection in database.idle_connections or ():
        connection.close()
    execute(cluster, f"drop database {name} with (force)")


@contextmanager
def emptied_database(cluster: Cluster) -> Iterator[Database]:
    """Yield a database with the rows of a fresh one. Its files and statistics may differ."""
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
    return Database(cluster, database.name, database.idle_connections, database.shared, ending)


def is_emptied(database: Database) -> bool:
    """Restore the rows of a fresh database, and return whether its schema is unchanged as well."""
    initial_rows: dict[str, list[Any]] = database.shared[TABLES]
    with suppress(psycopg.Error), database.connect() as owner:
        if owner.execute(BUSY).fetchone() or owner.execute(SCHEMA).fetchone() != database.shared[SCHEMA]:
            return False
        with owner.transaction():
            owner.execute("set local session_replication_role = replica; set local lock_timeout = '1s'")
            filled = " union all ".join(f"select '{name}' where exists (select from {name})" for name in initial_rows)
            for (name,) in owner.execute(filled).fetchall():
                owner.execute(f"delete from {name}")
            for name, rows in initial_rows.items():
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
    """Return whether the URL's role lacks the right to run the statement."""
    with psycopg.connect(driver_url(url)) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False
