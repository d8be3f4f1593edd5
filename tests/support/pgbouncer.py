"""PgBouncer in transaction mode in front of a test's database, where it is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from shared.db.connection_settings import driver_url
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.forwarding import unused_port

UNPRIVILEGED_USER = "nobody"
SESSIONS_FOR_EACH_LOGIN = 3
"""Fewer connections than the processes open, so that transactions of different clients share sessions."""

CONFIGURATION = """
[databases]
{name} = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {sessions}
server_login_retry = 1
"""


@dataclass(frozen=True)
class Pooler:
    """Its port, and the database behind it."""

    port: int
    database: Database

    def url(self, user: str) -> str:
        return self.database.cluster.tcp_url(self.database.name, user, self.port)

    def responds(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(driver_url(self.url("api"))):
            return True
        return False


@contextmanager
def pgbouncer(database: Database, *, server_port: int | None = None) -> Iterator[Pooler]:
    """Run a PgBouncer with default restrictions: it rejects startup parameters such as ``options``.

    It reaches the server through ``server_port``, if given.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("this machine has no pgbouncer")
    pooler = Pooler(unused_port(), database)
    account = pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None  # PgBouncer refuses to run as root
    with tempfile.TemporaryDirectory(prefix="signpost-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users").write_text('"api" ""\n"relay" ""\n"console" ""\n')
        text = CONFIGURATION.format(
            name=database.name,
            server_port=server_port or database.cluster.port,
            port=pooler.port,
            folder=folder,
            sessions=SESSIONS_FOR_EACH_LOGIN,
        )
        (folder / "ini").write_text(text)
        user = account.pw_uid if account else None
        with subprocess.Popen([program, "--quiet", folder / "ini"], user=user, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(pooler.responds)
                yield pooler
            finally:
                process.kill()
