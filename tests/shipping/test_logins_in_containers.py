"""What the postgres container runs when it makes its data: the logins, before their roles have anything."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from devstack.cluster import Cluster, embedded_binaries
from migrations import commands
from shared.database import driver_url
from tests.support.commands import ROOT
from tests.support.databases import is_refused


def test_the_logins_made_first_have_what_the_migration_gives_their_roles(tmp_path: Path) -> None:
    folder = ROOT / "deploy" / "docker"
    subprocess.run([folder / "make-secrets.sh", tmp_path], check=True)
    with Cluster(embedded_binaries()) as cluster:
        with psycopg.connect(driver_url(cluster.url("postgres")), autocommit=True) as connection:
            connection.execute("create database signpost")
        environment = {
            "PATH": f"{cluster.binaries}:{os.environ['PATH']}",
            "PGHOST": str(cluster.folder),
            "PGPORT": str(cluster.port),
            "POSTGRES_USER": "postgres",
            "POSTGRES_DB": "signpost",
            "SECRETS": str(tmp_path),
        }
        subprocess.run([folder / "make-logins.sh"], env=environment, check=True)
        commands.upgrade(cluster.url("signpost"))

        assert not is_refused(cluster.url("signpost", "api"), "select id from users limit 1")
        assert is_refused(cluster.url("signpost", "relay"), "select password_hash from users")
        assert not is_refused(cluster.url("signpost", "console"), "select id from outbox_messages limit 1")
        with psycopg.connect(driver_url(cluster.url("postgres", "organizer")), autocommit=True) as connection:
            connection.execute("create role org_0 login")
            connection.execute("create database org_0")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(driver_url(cluster.url("signpost", "org_0")))
        with psycopg.connect(driver_url(cluster.url("postgres"))) as connection:
            with_password = "select rolname from pg_authid where rolpassword is not null order by rolname"
            assert connection.execute(with_password).fetchall() == [
                ("api",),
                ("console",),
                ("organizer",),
                ("relay",),
            ]
