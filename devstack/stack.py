"""A whole stack on one machine, started as in production: PostgreSQL, migrations, logins, services and an inbox."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg

from devstack.cluster import Cluster, embedded_binaries
from devstack.janitor import Janitor
from devstack.logins import create_logins, create_organizer
from devstack.ports import Ports
from devstack.processes import Process, ProcessError
from devstack.programs import DATABASE, OWNER, TO_THE_INBOX, EmailRoute, Programs
from shared.db.connection_settings import driver_url

WATCH_SECONDS = 0.5


@contextmanager
def running_stack(
    ports: Ports,
    email: EmailRoute = TO_THE_INBOX,
    profile_schema: Path | None = None,
    organization_migrations: str | None = None,
) -> Iterator["Stack"]:
    """Start a stack and yield it when it is ready; after the block, end all processes and remove all files.

    With ``organization_migrations``, registrations can found organizations, whose databases get these migrations.

    Raises ProcessError or ClusterError, with the end of a log, if a part does not start.
    """
    with ExitStack() as ending:
        janitor = ending.enter_context(Janitor())
        folder = ending.enter_context(_temporary_folder(janitor))
        cluster = Cluster(embedded_binaries())
        janitor.watch_server(cluster.folder)
        ending.enter_context(cluster)
        stack = Stack(Programs(ports, folder, cluster, email, profile_schema, organization_migrations), janitor)
        ending.callback(stack.stop)
        stack.start()
        yield stack


@contextmanager
def _temporary_folder(janitor: Janitor) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="signpost-devstack-"))
    janitor.watch_folder(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Stack:
    """The processes of a running stack."""

    def __init__(self, programs: Programs, janitor: Janitor) -> None:
        self.programs = programs
        self.folder = programs.folder
        self._cluster = programs.cluster
        self.inbox = Process(programs.inbox(), self.folder, janitor)
        self.api = Process(programs.api(), self.folder, janitor)
        self.relay = Process(programs.relay(), self.folder, janitor)
        self.console = Process(programs.console(), self.folder, janitor)
        self._migrate = Process(programs.migrate(), self.folder, janitor)

    @property
    def processes(self) -> tuple[Process, ...]:
        """The long-running processes, in the order in which a message passes them."""
        return self.api, self.relay, self.inbox, self.console

    def start(self) -> None:
        """Start all processes in the order of their dependencies, and return when all are ready."""
        self.inbox.start()
        with psycopg.connect(driver_url(self._cluster.url("postgres")), autocommit=True) as connection:
            connection.execute(f"create database {DATABASE}")
        self._migrate.run()
        create_logins(self._cluster.url(DATABASE))
        if self.programs.organization_migrations:
            create_organizer(self._cluster.url(DATABASE), self._cluster.access_file)
        self.api.start()
        self.relay.start()
        self.console.start()
        for process in self.processes:
            process.wait_until_ready()

    def stop(self) -> None:
        """End all processes at the same time."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.stop()

    def watch(self) -> NoReturn:
        """Wait until a process ends by itself, and raise ProcessError."""
        while True:
            for process in self.processes:
                process.raise_if_ended()
            time.sleep(WATCH_SECONDS)

    def operators_token(self) -> str:
        """Create a token with all scopes for the console, as the schema's owner."""
        scopes = [f"--scope={scope}" for scope in ("read", "act", "reveal")]
        command = ("tokens", "create", "--name=demo", "--days=1", "--reason=the devstack was started", *scopes)
        return self.outboxctl(*command, login=OWNER).strip()

    def outboxctl(self, *arguments: str, login: str = "console") -> str:
        """Run outboxctl and return its output. Raises ProcessError with its error message."""
        program = self.programs.outboxctl(*arguments, login=login)
        done = subprocess.run(  # noqa: S603 - our own command
            program.command, env=program.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ProcessError(f"outboxctl {arguments[0]} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def tails(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(process.tail() for process in self.processes)
