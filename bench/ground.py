"""The ground that every measurement stands on: a durable PostgreSQL, a mail sink, real processes."""

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.mails import THEME
from devstack.cluster import Cluster, embedded_binaries
from devstack.janitor import Janitor
from devstack.logins import create_logins
from devstack.ports import ANY, LOOPBACK, free_ports
from devstack.processes import Process, Program
from devstack.programs import DATABASE, fresh_keys
from migrations import commands
from shared.database import driver_url
from shared.vocabulary import WAKE_CHANNEL

TABLES = ("users", "sessions", "tokens", "kept_answers", "outbox_messages", "delivery_attempts", "settled_by_hour")
"""What parts of the benchmark fill, each for itself."""
AT_ONCE = 0.0
"""What processes have for their end: some wait ten seconds for nothing, and how they end is not what is measured."""


@dataclass(frozen=True)
class Ground:
    """A migrated database with durable commits, and what it takes to run processes beside it."""

    cluster: Cluster
    folder: Path
    janitor: Janitor
    secret_keys: str

    @property
    def key_id(self) -> str:
        """The id of the key that codes are derived with."""
        return self.secret_keys.partition(":")[0]

    @property
    def dsn(self) -> str:
        """Where the database is, as libpq wants to be told."""
        return driver_url(self.url())

    def url(self, login: str = "postgres") -> str:
        """Return the database's URL for a login."""
        return self.cluster.url(DATABASE, login)

    def connect(self) -> psycopg.Connection:
        """Connect as the owner, in autocommit."""
        return psycopg.connect(self.dsn, autocommit=True)

    def number(self, query: str) -> float:
        """Return the one number that the query asks for."""
        with self.connect() as connection:
            row = connection.execute(query).fetchone()
        return float(row[0]) if row else 0.0

    @property
    def cluster_pid(self) -> int:
        """The process of the database server that all its others stand below."""
        return int((self.cluster.folder / "data" / "postmaster.pid").read_text().split()[0])

    def empty(self) -> None:
        """Take everything out of the tables, as if newly made."""
        with self.connect() as connection:
            connection.execute(f"truncate {', '.join(TABLES)}")
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")

    def fill(self, filling: str, messages: int) -> None:
        """Commit so many messages at once, by a statement that is told the key's id and their number."""
        with self.connect() as connection:
            connection.execute(filling, [self.key_id, messages])

    def wake_relays(self) -> None:
        """Tell them that there is something to do."""
        with self.connect() as connection:
            connection.execute("select pg_notify(%s, '')", [WAKE_CHANNEL])

    def settle_down(self) -> None:
        """Have written what is to be written, so that it is not during what is measured next."""
        with self.connect() as connection:
            connection.execute("checkpoint")

    @contextmanager
    def running(self, program: Program) -> Iterator[Process]:
        """Run the program once it is ready, and end it at once: it has been measured."""
        process = Process(program, self.folder, self.janitor, grace_seconds=AT_ONCE)
        process.log.unlink(missing_ok=True)
        process.start()
        try:
            process.wait_until_ready()
            yield process
        finally:
            process.stop()

    def relay(
        self, smtp_port: int, module: str = "outbox_relay.cli", theme: Path | None = THEME, **settings: str
    ) -> Program:
        """Return a relay that delivers to the port the mail of that theme, or the one that the product ships."""
        port = free_ports().relay
        environment = self._told("relay", PUBLIC_URL="https://signpost.example", RELAY_BIND=f"{LOOPBACK}:{port}")
        environment |= {
            "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
            "EMAIL_PROVIDERS": f"smtp://{LOOPBACK}:{smtp_port}?tls=none",
            # A backlog that was filled for another part has been due for minutes: no reason not to be ready here.
            "RELAY_LATE_SECONDS": "86400",
        }
        environment |= {"THEME_FOLDER": str(theme)} if theme else {}
        command = (sys.executable, "-c", f"from {module} import main; main()", "run")
        return Program("relay", command, environment | settings, f"http://{LOOPBACK}:{port}/readyz")

    def null_relay(self) -> Program:
        """Return a relay that does nothing with what it claims but settle it."""
        return self.relay(ANY, "bench.null_relay", EMAIL_PROVIDERS="null:")

    def api(self, port: int, module: str = "api_service.cli", **settings: str) -> Program:
        """Return the API, with as many workers as there are cores, or what the module makes of it."""
        bound = f"{LOOPBACK}:{port}"
        environment = self._told("api", API_BIND=bound, PUBLIC_URL=f"http://{bound}", RATE_LIMITS="off")
        command = (sys.executable, "-c", f"from {module} import main; main()", "serve")
        return Program("api", command, environment | settings, f"http://{LOOPBACK}:{port}/readyz")

    def _told(self, login: str, **settings: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.url(login),
            "SECRET_KEYS": self.secret_keys,
        } | settings


@contextmanager
def ground() -> Iterator[Ground]:
    """Make the ground, and leave nothing of it behind."""
    with ExitStack() as ending:
        janitor = ending.enter_context(Janitor())
        folder = Path(tempfile.mkdtemp(prefix="signpost-bench-"))
        janitor.watch_folder(folder)
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = Cluster(embedded_binaries(), settings={"max_wal_size": "4GB", "checkpoint_timeout": "30min"})
        janitor.watch_server(cluster.folder)
        ending.enter_context(cluster)
        with psycopg.connect(driver_url(cluster.url("postgres")), autocommit=True) as connection:
            connection.execute(f"create database {DATABASE}")
        commands.upgrade(cluster.url(DATABASE))
        create_logins(cluster.url(DATABASE))
        yield Ground(cluster, folder, janitor, fresh_keys())


def mail_sink_program(port: int, *, is_hanging: bool = False, milliseconds: int = 0) -> Program:
    """Return Postfix's smtp-sink where the machine has it, and our own otherwise, or where it is to hang or be slow."""
    found = of_postfix("smtp-sink")
    environment = {"PATH": os.environ["PATH"]}
    if found and not is_hanging and not milliseconds:
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        return Program("smtp-sink", (found, *user, f"{LOOPBACK}:{port}", "1000"), environment)
    options = ("--hang",) if is_hanging else ("--milliseconds", str(milliseconds))
    return Program("own sink", (sys.executable, "-m", "bench.sink", str(port), *options), environment)


def telling_sink_program(port: int, times: Path) -> Program:
    """Return a sink of our own that writes down when it accepted each mail."""
    command = (sys.executable, "-m", "bench.prompt_sink", str(port), str(times))
    return Program("prompt sink", command, {"PATH": os.environ["PATH"]})


def of_postfix(name: str) -> str | None:
    """Return where one of Postfix's own programs is, if the machine has it."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def wait_for_port(port: int) -> None:
    """Return once something listens there."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")
