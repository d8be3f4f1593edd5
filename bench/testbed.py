"""The testbed: PostgreSQL with durable commits, an SMTP sink, and Signpost's programs as real processes."""

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.sample_mail import THEME
from devstack.cluster import Cluster, embedded_binaries
from devstack.janitor import Janitor
from devstack.logins import create_logins
from devstack.ports import LOOPBACK, free_port, free_ports
from devstack.processes import Process, Program
from devstack.programs import DATABASE, fresh_keys
from migrations import commands
from shared.db.connection_settings import driver_url
from shared.vocabulary import WAKE_CHANNEL

CONNECTIONS = 8
"""SMTP connections of each process that sends; a relay's default."""
POLL_SECONDS = 0.05
TABLES = (
    "users",
    "organization_invitations",
    "organization_members",
    "seen_clients",
    "sessions",
    "tokens",
    "idempotency_keys",
    "outbox_messages",
    "delivery_attempts",
    "hourly_stats",
)
HAS_PENDING = "select exists (select from outbox_messages where status = 'pending')"
ENQUEUE_MANY = """
insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id, max_attempts, due_at,
                             expires_at)
select overlay(overlay(gen_random_uuid()::text placing left(signpost_uuid7_floor(clock_timestamp())::text, 13) from 1)
               placing '7' from 15)::uuid,
       'activation', 'email', 'user' || n || '@example.org', case n %% 2 when 0 then 'en' else 'fr' end,
       jsonb_build_object('name', 'User ' || n, 'key_id', %(key_id)s::text), gen_random_uuid(), gen_random_uuid(), 8,
       now() - %(hours_late)s * interval '1 hour', now() + interval '1 day'
  from generate_series(1, %(count)s) as n
"""
"""Ids are UUIDv7. Messages that are due for an hour are old enough for claims to skip the check for late commits."""


@dataclass(frozen=True)
class Testbed:
    """A migrated database, and methods that run programs with it."""

    cluster: Cluster
    folder: Path
    janitor: Janitor
    secret_keys: str

    @property
    def key_id(self) -> str:
        """The id of the key that codes are derived from."""
        return self.secret_keys.partition(":")[0]

    @property
    def postgres_pid(self) -> int:
        """The parent of all PostgreSQL processes."""
        return int((self.cluster.folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, login: str = "postgres", *, database: str = DATABASE) -> str:
        """Return the database's URL for a login."""
        return self.cluster.url(database, login)

    def connect(self, database: str = DATABASE) -> psycopg.Connection:
        """Connect as the owner, in autocommit mode."""
        return psycopg.connect(driver_url(self.url(database=database)), autocommit=True)

    def number(self, query: str) -> float:
        """Return the single number that the query selects."""
        with self.connect() as connection:
            [(number,)] = connection.execute(query).fetchall()
        return float(number)

    def truncate(self) -> None:
        """Empty all tables that the benchmark fills."""
        with self.connect() as connection:
            connection.execute(f"truncate {', '.join(TABLES)}")
            connection.execute("vacuum analyze")

    def checkpoint(self) -> None:
        """Write a checkpoint, so that PostgreSQL writes no other during the measurement."""
        with self.connect() as connection:
            connection.execute("checkpoint")

    @contextmanager
    def new_database(self, name: str, template: str = DATABASE) -> Iterator[psycopg.Connection]:
        """Create a database from a template, yield a connection to it, and drop it."""
        with self.connect() as owner:
            # Copying files is faster than writing everything through the WAL, and keeps the WAL small.
            owner.execute(f"create database {name} template {template} strategy file_copy")
        try:
            with self.connect(name) as connection:
                yield connection
        finally:
            with self.connect() as owner:
                owner.execute(f"drop database {name} with (force)")

    def enqueue_many(self, count: int, *, hours_late: int = 0, database: str = DATABASE) -> None:
        """Commit this many messages in one transaction."""
        with self.connect(database) as connection:
            connection.execute(ENQUEUE_MANY, {"key_id": self.key_id, "count": count, "hours_late": hours_late})

    def wake_relays(self) -> None:
        """Send the notification that the API sends after a commit."""
        with self.connect() as connection:
            connection.execute("select pg_notify(%s, '')", [WAKE_CHANNEL])

    def wait_until_settled(self, relays: Sequence[Process]) -> None:
        """Return once no message is pending. Raises ProcessError if a relay ends before."""
        with self.connect() as connection:
            while connection.execute(HAS_PENDING).fetchone() != (False,):
                for relay in relays:
                    relay.raise_if_ended()
                time.sleep(POLL_SECONDS)

    @contextmanager
    def running(self, *programs: Program) -> Iterator[list[Process]]:
        """Run programs, yield their processes once all are ready, and kill them in the end."""
        with ExitStack() as stack:
            processes = [Process(program, self.folder, self.janitor, grace_seconds=0) for program in programs]
            for process in processes:
                process.log.unlink(missing_ok=True)
                stack.callback(process.stop)
                process.start()
            for process in processes:
                process.wait_until_ready()
            yield processes

    def relay(self, smtp_port: int, *, number: int = 1, module: str = "outbox_relay.cli", **settings: str) -> Program:
        """Return a relay that sends the sample mail to this port. Relays that run together differ in number."""
        bind = f"{LOOPBACK}:{free_ports().relay}"
        environment = self._environment("relay", PUBLIC_URL="https://signpost.example", RELAY_BIND=bind) | {
            "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
            "EMAIL_PROVIDERS": f"smtp://{LOOPBACK}:{smtp_port}?tls=none",
            "RELAY_LATE_SECONDS": "86400",  # a relay with an old backlog is ready, too
            "THEME_FOLDER": str(THEME),
        }
        command = (sys.executable, "-c", f"from {module} import main; main()", "run")
        return Program(f"relay {number}", command, environment | settings, f"http://{bind}/readyz")

    def api(
        self, port: int, module: str = "api_service.cli", *, admin_port: int | None = None, **settings: str
    ) -> Program:
        """Return the API without rate limits, by default with one worker process per core."""
        bind = f"{LOOPBACK}:{port}"
        admin_bind = f"{LOOPBACK}:{admin_port or free_ports().api_admin}"
        environment = self._environment(
            "api", API_BIND=bind, API_ADMIN_BIND=admin_bind, PUBLIC_URL=f"http://{bind}", RATE_LIMITS="off"
        )
        command = (sys.executable, "-c", f"from {module} import main; main()", "serve")
        return Program("api", command, environment | settings, f"http://{admin_bind}/readyz")

    def _environment(self, login: str, **settings: str) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "DATABASE_URL": self.url(login), "SECRET_KEYS": self.secret_keys}
        return own | settings

    @contextmanager
    def smtp_sink(self, accepted: Path | None = None) -> Iterator[int]:
        """Run an SMTP server that discards mail; yield its port.

        It is Postfix's smtp-sink where that is installed, else the benchmark's own. With a path it is always the
        benchmark's own, which writes there when it accepted the mail for each recipient.
        """
        port = free_port()
        command = own_sink_command(port, accepted or Path(os.devnull))
        if accepted is None and (postfix := postfix_sink()):
            user = ("-u", "nobody") if os.geteuid() == 0 else ()
            command = (postfix, *user, f"{LOOPBACK}:{port}", "1000")
        with self.running(Program("smtp-sink", command, {"PATH": os.environ["PATH"]})):
            wait_for_port(port)
            yield port


@contextmanager
def testbed() -> Iterator[Testbed]:
    """Create the testbed, and remove everything in the end."""
    with ExitStack() as stack:
        janitor = stack.enter_context(Janitor())
        folder = Path(tempfile.mkdtemp(prefix="signpost-bench-"))
        janitor.watch_folder(folder)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = Cluster(embedded_binaries(), settings={"max_wal_size": "4GB", "checkpoint_timeout": "30min"})
        janitor.watch_server(cluster.folder)
        stack.enter_context(cluster)
        with psycopg.connect(driver_url(cluster.url("postgres")), autocommit=True) as connection:
            connection.execute(f"create database {DATABASE}")
        commands.upgrade(cluster.url(DATABASE))
        create_logins(cluster.url(DATABASE))
        yield Testbed(cluster, folder, janitor, fresh_keys())


def own_sink_command(port: int, accepted: Path) -> tuple[str, ...]:
    """Return the command line of the benchmark's own sink."""
    return (sys.executable, "-m", "bench.smtp_sink", str(port), str(accepted))


def postfix_sink() -> str | None:
    """Return the path of Postfix's smtp-sink, or None where it is not installed."""
    return shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin")


def wait_for_port(port: int) -> None:
    """Return once something listens on the port. Raises RuntimeError after ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(POLL_SECONDS)
    raise RuntimeError(f"nothing listens on port {port}")
