"""The commands of the guides that create, back up and restore the database, typed on real servers."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from devstack.cluster import QUICK_AND_FORGETFUL, Cluster
from migrations import commands
from shared.db.connection_settings import driver_url
from tests.support.commands import ROOT
from tests.support.databases import Database, is_refused, memory_if_enough
from tests.support.shell_blocks import typed

pytestmark = pytest.mark.slow

AS_SUPERUSER = "sudo -u postgres "
PASSWORD = "four quiet words"
MEMBER = r"(has already been granted membership in|is already a member of)"
KNOWN = re.compile(rf'ERROR:  role "\w+" already exists|NOTICE:  role "\w+" {MEMBER} role "\w+"( by role "\w+")?')
WITH_PASSWORD = "select rolname from pg_authid where rolpassword is not null order by rolname"


@pytest.fixture(scope="module")
def by_the_guide(cluster: Cluster) -> Iterator[Database]:
    """A database on a server of its own, created and migrated by the commands of the guide to systemd."""
    if not (cluster.binaries / "createuser").exists():
        pytest.skip("these binaries of PostgreSQL have no createuser")
    with new_server(cluster.binaries) as server:
        *before, api, relay, console = typed_as_superuser("systemd.md")
        for line in before:
            run(line, server)
        commands.upgrade(server.url("signpost", user="owner"))
        for line in (api, relay, console):
            run(line, server)
        yield Database(server, "signpost")


def test_the_commands_create_an_owner_and_a_login_for_each_process(by_the_guide: Database) -> None:
    with psycopg.connect(driver_url(by_the_guide.owner_url)) as superuser:
        assert superuser.execute(WITH_PASSWORD).fetchall() == [("api",), ("console",), ("owner",), ("relay",)]
    assert not is_refused(by_the_guide.api_url, "select id from users limit 1")
    assert not is_refused(by_the_guide.console_url, "select id from outbox_messages limit 1")
    assert is_refused(by_the_guide.relay_url, "select password_hash from users")
    assert is_refused(by_the_guide.cluster.url("signpost", user="owner"), "select * from pg_authid")


def test_the_commands_move_the_database_to_a_new_server_and_report_only_roles_that_exist(
    by_the_guide: Database, tmp_path: Path
) -> None:
    dump_roles, dump, load_roles, create, load = typed_as_superuser("upgrades.md")
    for line in (dump_roles, dump):
        assert run(line, by_the_guide.cluster, tmp_path) == ""
    with new_server(by_the_guide.cluster.binaries) as server:
        assert run(load_roles, server, tmp_path) == 'ERROR:  role "postgres" already exists\n'
        assert run(create, server) == ""
        assert run(load, server, tmp_path) == ""
        again = run(load_roles, server, tmp_path).splitlines()
        assert [line for line in again if not KNOWN.fullmatch(line)] == []
        restored = Database(server, "signpost")
        assert not is_refused(restored.api_url, "select id from users limit 1")
        with psycopg.connect(driver_url(restored.owner_url)) as superuser:
            assert superuser.execute(WITH_PASSWORD).fetchall() == [("api",), ("console",), ("owner",), ("relay",)]


def test_the_messages_in_the_docs_are_those_that_postgresql_reports() -> None:
    page = (ROOT / "docs" / "guides" / "upgrades.md").read_text()
    shown = re.findall(r"(?:ERROR|NOTICE):  .+", page)
    assert [message for message in shown if not KNOWN.fullmatch(message)] == []
    assert len(shown) == 2


@contextmanager
def new_server(binaries: Path) -> Iterator[Cluster]:
    with Cluster(binaries, settings=QUICK_AND_FORGETFUL, parent=memory_if_enough()) as server:
        yield server


def typed_as_superuser(page: str) -> list[str]:
    """Return the commands of a page that run on the database server."""
    lines = [command.line for command in typed() if command.page.name == page]
    return [line.removeprefix(AS_SUPERUSER) for line in lines if line.startswith(AS_SUPERUSER)]


def run(line: str, server: Cluster, folder: Path | None = None) -> str:
    """Run a shell command as the server's superuser, and return its errors. Type a password if it asks."""
    environment = {
        "PATH": f"{server.binaries}:{os.environ['PATH']}",
        "PGHOST": str(server.folder),
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
    }
    done = subprocess.run(
        line,
        shell=True,
        env=environment,
        cwd=folder,
        input=f"{PASSWORD}\n{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # without a terminal, it reads the password from standard input
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
