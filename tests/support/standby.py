"""A standby server that can replace its primary, and a primary without the standby that it waits for."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from devstack.cluster import Cluster, embedded_binaries
from devstack.logins import create_logins
from migrations import commands
from shared.db.connection_settings import driver_url
from tests.support.databases import Database, execute
from tests.support.eventually import eventually

IN_STEP = "select count(*) from pg_stat_replication where sync_state = 'sync'"


class Standby(Cluster):
    """Replicates ``primary``, and is read-only until it is promoted."""

    def __init__(self, primary: Cluster) -> None:
        super().__init__(primary.binaries, with_tcp=True)
        self._primary = primary

    def promote(self) -> None:
        """Promote it, and return once it accepts writes."""
        self._run("pg_ctl", "promote", "--wait")

    def _make_data(self) -> None:
        to_primary = f"host={self._primary.folder} port={self._primary.port} user=postgres"
        self._run("pg_basebackup", f"--dbname={to_primary}", "--write-recovery-conf", "--checkpoint=fast", "--no-sync")


@contextmanager
def primary_and_standby(name: str) -> Iterator[tuple[Database, Database]]:
    """Run two servers with a migrated database and synchronous replication."""
    with Cluster(embedded_binaries(), with_tcp=True) as primary:
        execute(primary, f"create database {name}")
        commands.upgrade(primary.url(name))
        create_logins(primary.url(name))
        with Standby(primary) as standby:
            # Set only now: without a standby no commit would be confirmed, and the standby would copy the setting.
            execute(primary, "alter system set synchronous_standby_names = '*'")
            execute(primary, "select pg_reload_conf()")
            first, second = Database(primary, name), Database(standby, name)
            eventually(lambda: is_followed(first))
            yield first, second


def is_followed(database: Database) -> bool:
    with database.connect() as connection:
        return connection.execute(IN_STEP).fetchone() == (1,)


def url_of_both(first: Database, second: Database, user: str) -> str:
    """Return a URL with both hosts that connects to the writable one."""
    hosts = f"127.0.0.1:{first.cluster.port},127.0.0.1:{second.cluster.port}"
    return f"postgresql+psycopg://{user}@{hosts}/{first.name}?target_session_attrs=read-write"


@contextmanager
def lonely_primary() -> Iterator[Database]:
    """Run a server with a migrated database, which can be set to wait for a missing standby."""
    with Cluster(embedded_binaries()) as primary:
        execute(primary, "create database signpost")
        commands.upgrade(primary.url("signpost"))
        create_logins(primary.url("signpost"))
        yield Database(primary, "signpost")


def wait_for_standby(database: Database, names: str) -> None:
    """Make commits wait for standbys of these names; without names, for no standby."""
    cluster = database.cluster
    execute(cluster, f"alter system set synchronous_standby_names = '{names}'")
    execute(cluster, "select pg_reload_conf()")
    shown = "select count(*) from pg_settings where name = 'synchronous_standby_names' and setting = %s"
    with psycopg.connect(driver_url(cluster.url(database.name))) as connection:
        eventually(lambda: connection.execute(shown, [names]).fetchone() == (1,))
