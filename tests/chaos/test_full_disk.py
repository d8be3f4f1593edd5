"""PostgreSQL's disk is full for a while: nothing is lost, and no process of Signpost ends."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest

from devstack.cluster import Cluster, ClusterError, embedded_binaries
from devstack.logins import create_logins
from migrations import commands
from tests.support import plain_http
from tests.support.conservation import Ledger, conserved
from tests.support.databases import Database, execute
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.processes import HASTY_API, running_api
from tests.support.relays import running_relay

SIZE = "256m"
CLIENTS = 4
FAILURES = 20
"""The rejected registrations after which the test frees the disk."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


@pytest.fixture
def disk() -> Iterator[Path]:
    """Mount a small file system in memory. Its path is short, because the path of a socket is limited."""
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    folder.chmod(0o755)  # the server runs as another user
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine mounts no file systems")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


@pytest.fixture
def cramped(disk: Path) -> Iterator[Outbox]:
    """An outbox on a server with a small disk."""
    with Cluster(embedded_binaries(), parent=disk, with_tcp=True) as cluster:
        execute(cluster, "create database signpost")
        commands.upgrade(cluster.url("signpost"))
        create_logins(cluster.url("signpost"))
        yield Outbox(Database(cluster, "signpost"))


def fill(disk: Path) -> Path:
    """Use up the rest of the disk, and return the file to delete."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as stream, suppress(OSError):
        while stream.write(b"x" * 4096):
            pass
    return filler


def is_up(cluster: Cluster) -> bool:
    """Return whether the server responds. Start it if it has ended, as systemd does."""
    with suppress(psycopg.OperationalError):
        execute(cluster, "select 1")
        return True
    with suppress(ClusterError):
        cluster.start()
    return False


def test_nothing_is_lost_while_the_disk_is_full(disk: Path, cramped: Outbox, sink: MailSink) -> None:
    database, ledger, numbers = cramped.database, Ledger(cramped.database), count()
    urls = {login: database.cluster.tcp_url(database.name, user=login) for login in ("api", "relay")}
    accepted: list[str] = []
    with (
        running_api(database, command=HASTY_API, DATABASE_URL=urls["api"]) as api,
        running_relay(database, DATABASE_URL=urls["relay"], EMAIL_PROVIDERS=sink.provider) as relay,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):

        def register(_number: int = 0) -> int:
            body = {"email": f"full{next(numbers)}@example.org", "password": "four quiet words here"}
            response = plain_http.post(f"{api.base_url}/v1/registrations", json=body, timeout=60)
            if response.status_code == 202:
                accepted.append(response.json()["id"])
            else:
                assert (response.status_code, response.json()["code"]) == (503, "database_unavailable"), response.text
            return response.status_code

        assert set(clients.map(register, range(40))) == {202}
        failures = 0
        while failures < FAILURES:
            filler = fill(disk)  # again, because the server frees files, too
            failures += list(clients.map(register, range(CLIENTS))).count(503)
        assert (api.admin("/livez").status_code, relay.get("/livez").status_code) == (200, 200)
        filler.unlink()
        eventually(lambda: is_up(database.cluster), seconds=60)
        eventually(lambda: register() == 202, seconds=60)
        eventually(cramped.is_all_sent, seconds=90)
        assert (api.process.poll(), relay.process.poll()) == (None, None)
    ledger.registered(accepted)
    ledger.uncertain |= stored(cramped) - ledger.committed
    conserved(ledger, sink)


def stored(outbox: Outbox) -> set[object]:
    """Return the ids of all messages: a registration that got 503 during its commit may have happened."""
    return {message_id for (message_id,) in outbox.execute("select id from outbox_messages")}
