"""The admin listener of a service: /livez, /readyz and /metrics, away from its clients.

gunicorn's parent process serves it, from separate threads. That process handles no other requests, so no client can
delay a probe.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from threading import Condition, Lock
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from shared.db.engine import DATABASE_FAILURES, create_database_engine
from shared.db.preflight import is_schema_behind
from shared.health_server import Probes, health_server
from shared.log import get_logger
from shared.urls import host_and_port

CHECK_TIMEOUT_SECONDS = 2.0
"""To connect, and for each of the two responses of the database, so a check takes six seconds at most."""
CACHE_SECONDS = 1.0
"""How long one check of the database serves all probes."""
LISTENER = "listener"
"""Missing from /readyz while the service stops, so that load balancers send clients elsewhere."""

# A standby and a read-only session answer queries, too.
READ_STATE = text("""
select (select version_num from alembic_version), current_setting('transaction_read_only')::boolean,
       current_setting('synchronous_standby_names') <> ''
""")
# It writes WAL only. Only a transaction that has written waits for a standby.
WRITE = text("select pg_logical_emit_message(true, 'signpost', '')")

log = get_logger("web.admin")


class Requirement(StrEnum):
    """A service's needs: a writable database, a standby that confirms, and a schema not older than the code."""

    DATABASE = "database"
    STANDBY = "standby"
    SCHEMA = "schema"


class ForkGate:
    """Lets the process fork only while no thread is inside the gate.

    A child has only the thread that forked. A lock that another thread held at that moment would stay locked in it.
    """

    def __init__(self) -> None:
        self._condition = Condition(Lock())
        self._inside = 0
        self._is_forking = False

    def guard_forks(self) -> None:
        """Make each fork of this process wait until the gate is empty."""
        os.register_at_fork(before=self.before_fork, after_in_parent=self.after_fork, after_in_child=self.after_fork)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside the gate during the block. A waiting fork goes first, or many probes could delay it forever."""
        with self._condition:
            self._condition.wait_for(lambda: not self._is_forking)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    def before_fork(self) -> None:
        """Let no thread enter, wait until the gate is empty, and keep it empty."""
        self._condition.acquire()
        self._is_forking = True
        self._condition.wait_for(lambda: self._inside == 0)

    def after_fork(self) -> None:
        """Let threads enter again."""
        self._is_forking = False
        self._condition.notify_all()
        self._condition.release()


class AdminListener:
    """Reports whether the workers make progress and the database is usable, and merges the workers' metrics.

    ``revisions`` are this release's migrations. The gauge ``ready`` shows the readiness, as 0 or 1. ``held`` returns
    causes outside of the service that block a part of its work, while the database is usable.
    """

    def __init__(
        self,
        service: str,
        bind: tuple[str, int],
        database_url: str,
        revisions: Sequence[str],
        ready: Gauge,
        *,
        held: Callable[[Engine], list[str]] = lambda _engine: [],
    ) -> None:
        self._bind = bind
        self._ready = ready
        self._find_held = held
        self._held: list[str] = []
        self._revisions = revisions
        self._engine = create_database_engine(
            database_url,
            application_name=f"signpost-{service}-probe",
            pool_size=1,
            timeout_seconds=CHECK_TIMEOUT_SECONDS,
        )
        self._gate = ForkGate()
        self._check_lock = Lock()
        self._missing: list[str] = []
        self._checked_at = -CACHE_SECONDS
        self._arbiter: Any = None
        self._server = ExitStack()

    def start(self, arbiter: Any) -> None:
        """Serve until the process ends. For gunicorn's ``when_ready``. Exits with 1 if the port is taken."""
        self._arbiter = arbiter
        self._gate.guard_forks()
        probes = Probes(arbiter.progress.is_alive, self._readiness, self._metrics)
        try:
            port = self._server.enter_context(health_server(self._bind, probes))
        except OSError as error:
            log.error("admin listener not started", bind=host_and_port(*self._bind), error=error.strerror)  # noqa: TRY400 - the trace shows no more
            sys.exit(1)
        log.info("admin listening", bind=host_and_port(self._bind[0], port))

    def close(self) -> None:
        """Stop serving."""
        self._server.close()

    def _readiness(self) -> tuple[Sequence[str], Sequence[str]]:
        with self._gate.enter():
            return self._lacking(), self._held

    def _metrics(self) -> bytes:
        with self._gate.enter():
            self._ready.set(not self._lacking())
            merged = CollectorRegistry()
            MultiProcessCollector(merged)  # type: ignore[no-untyped-call] # prometheus_client types it in part
            return generate_latest(merged)

    def _lacking(self) -> list[str]:
        """Return the parts that the service lacks. gunicorn closes its listeners before it finishes requests."""
        return self._checked() if self._arbiter.LISTENERS else [LISTENER]

    def _checked(self) -> list[str]:
        """Return the parts that the database lacks; at most CACHE_SECONDS old."""
        with self._check_lock:
            if time.monotonic() - self._checked_at >= CACHE_SECONDS:
                self._missing = [str(one) for one in missing_requirements(self._engine, self._revisions)]
                self._held = [] if self._missing else self._find_held(self._engine)
                self._engine.dispose()  # a forked worker must not inherit a connection
                self._checked_at = time.monotonic()
            return self._missing


def missing_requirements(engine: Engine, revisions: Sequence[str]) -> list[Requirement]:
    """Return the missing parts, given this release's migrations in order."""
    try:
        with engine.connect() as connection:
            revision, is_read_only, has_standby = connection.execute(READ_STATE).one()
            if is_read_only:
                return [Requirement.DATABASE]
            if has_standby and not _confirms_commits(connection):
                return [Requirement.STANDBY]
    except ProgrammingError:
        return [Requirement.SCHEMA]
    except DATABASE_FAILURES:
        return [Requirement.DATABASE]
    return [Requirement.SCHEMA] if is_schema_behind(revision, revisions) else []


def _confirms_commits(connection: Connection) -> bool:
    """Return whether a commit returns within the connection's time limit."""
    connection.execute(WRITE)
    try:
        connection.commit()
    except DATABASE_FAILURES:
        return False
    return True
