"""The logins before their roles have rights: as the postgres container creates them, and as the docs describe."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest

from devstack.cluster import Cluster, embedded_binaries
from migrations import commands
from outbox_relay.provisioning.provision import provision
from shared.db.connection_settings import driver_url
from tests.support.commands import ROOT
from tests.support.databases import is_refused
from tests.support.tenants import RecordingStepLog, Tenants, an_organization

FOLDER = ROOT / "deploy" / "docker"
OTHERS = "select datname from pg_database where datallowconn and datname <> %s order by datname"


@contextmanager
def cluster_of_the_container(secrets: Path) -> Iterator[Cluster]:
    """Start a server, and run the script of the container's first start on it."""
    subprocess.run([FOLDER / "make-secrets.sh", secrets], check=True)
    with Cluster(embedded_binaries()) as cluster:
        with connected(cluster) as connection:
            connection.execute("create database signpost")
        environment = {
            "PATH": f"{cluster.binaries}:{os.environ['PATH']}",
            "PGHOST": str(cluster.folder),
            "PGPORT": str(cluster.port),
            "POSTGRES_USER": "postgres",
            "POSTGRES_DB": "signpost",
            "SECRETS": str(secrets),
        }
        subprocess.run([FOLDER / "make-logins.sh"], env=environment, check=True)
        yield cluster


@contextmanager
def cluster_by_the_docs(_folder: Path) -> Iterator[Cluster]:
    """Start a server, and run the commands of docs/guides/organizations.md on it."""
    [typed] = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "guides" / "organizations.md").read_text(), re.DOTALL)
    with Cluster(embedded_binaries()) as cluster:
        with connected(cluster) as connection:
            connection.execute(typed)
        yield cluster


def connected(cluster: Cluster) -> psycopg.Connection:
    return psycopg.connect(driver_url(cluster.url("postgres")), autocommit=True)


def test_logins_created_before_the_migration_get_the_rights_of_their_roles(tmp_path: Path) -> None:
    with cluster_of_the_container(tmp_path) as cluster:
        commands.upgrade(cluster.url("signpost"))

        assert not is_refused(cluster.url("signpost", "api"), "select id from users limit 1")
        assert is_refused(cluster.url("signpost", "relay"), "select password_hash from users")
        assert not is_refused(cluster.url("signpost", "console"), "select id from outbox_messages limit 1")
        with connected(cluster) as connection:
            with_password = "select rolname from pg_authid where rolpassword is not null order by rolname"
            assert connection.execute(with_password).fetchall() == [
                ("api",),
                ("console",),
                ("organizer",),
                ("receiver",),
                ("relay",),
            ]


@pytest.mark.anyio
@pytest.mark.parametrize("set_up", [cluster_of_the_container, cluster_by_the_docs])
async def test_an_organizations_role_can_connect_only_to_its_own_database(
    tmp_path: Path, set_up: Callable[[Path], AbstractContextManager[Cluster]]
) -> None:
    with set_up(tmp_path) as cluster:
        tenants, mine, other = Tenants(cluster), an_organization(), an_organization()
        for organization in (mine, other):
            await provision(tenants.server(), organization, RecordingStepLog())
        with tenants.as_member(mine) as member:
            others = [name for (name,) in member.execute(OTHERS, [mine.database])]
        assert {other.database, "postgres", "template1"} <= set(others)
        for name in others:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                tenants.as_member(mine, name)
