"""The peers, and how to run them: each has its own database or Redis, drains a backlog, and is measured for latency."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.peers.harness import COUNTER, SEND, TRICKLE_FROM, Config, recipient
from bench.process_usage import cpu_seconds, family, peak_megabytes
from bench.rounds import PeerError
from bench.sample_mail import SENDER, rendered
from bench.testbed import CONNECTIONS, Testbed, wait_for_port
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process, Program
from shared.db.connection_settings import driver_url
from shared.host import cpu_count
from shared.vocabulary import Locale

ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / ".peers"
COMMAND_SECONDS = 90
WORK_SECONDS = 30
"""A peer that takes longer to handle what it is given has failed."""
POLL_SECONDS = 0.005
DATABASE = "bench_peer"


@dataclass(frozen=True)
class Peer:
    """Another project, and the program in ``bench/peers`` that uses it."""

    name: str
    program: str
    processes: int = cpu_count()
    """Worker processes that drain a backlog; one where the peer starts a process per core itself."""
    needs_redis: bool = False
    has_daemon: bool = True
    warm_up: int = 50
    """Messages that each worker process handles before measuring: it connects and compiles, which takes Node longer."""

    @property
    def command(self) -> tuple[str, ...]:
        """The command line of its program."""
        if self.program.endswith(".js"):
            return (node() or "node", str(ROOT / "bench" / "peers" / self.program))
        return (str(INSTALLED / "venv" / "bin" / "python"), "-m", f"bench.peers.{self.program}")

    @property
    def is_installed(self) -> bool:
        """Whether the peer and what it needs is installed; ``make bench-peers`` does that."""
        if self.program.endswith(".js"):
            return (INSTALLED / "node_modules" / self.name).exists() and node() is not None
        packages = INSTALLED.glob(f"venv/lib/python3*/site-packages/{self.name.replace('-', '_')}-*.dist-info")
        return any(packages) and (not self.needs_redis or shutil.which("redis-server") is not None)


PEERS = (
    Peer("pgqueuer", "pgqueuer"),
    Peer("procrastinate", "procrastinate"),
    Peer("faststream-outbox", "faststream_outbox"),
    Peer("celery", "celery", processes=1, needs_redis=True),
    Peer("dramatiq", "dramatiq", processes=1, needs_redis=True),
    Peer("django-post-office", "django_post_office", processes=1, has_daemon=False),
    Peer("graphile-worker", "graphile_worker.js", warm_up=500),
    Peer("pg-boss", "pg_boss.js", warm_up=500),
)
FASTEST = ("pg-boss", "graphile-worker")
"""The peers of a quick run."""


def node() -> str | None:
    """Return the path of the Node.js that ``make bench-peers`` installed, or None."""
    return next(map(str, INSTALLED.glob("node_modules/node-*/bin/node")), None)


def installed_peers(*, quick: bool) -> list[Peer]:
    """Return the peers that are installed; of a quick run, the fastest of them."""
    return [peer for peer in PEERS if peer.is_installed and (peer.name in FASTEST or not quick)]


@dataclass(frozen=True)
class Drain:
    """Messages a second, CPU seconds of workers and store for 1,000 of them, and the workers' peak memory.

    The store is PostgreSQL, or a peer's Redis.
    """

    rate: float
    cpu_per_thousand: float
    store_cpu_per_thousand: float
    peak_megabytes: float

    @property
    def total_cpu_per_thousand(self) -> float:
        """The CPU seconds of workers and store."""
        return self.cpu_per_thousand + self.store_cpu_per_thousand


@dataclass(frozen=True)
class Handled:
    """How many messages all processes of a peer have handled, and when the last of them."""

    count: int = 0
    last: float = 0.0


@dataclass(frozen=True)
class PeerRun:
    """A peer with its store, and a folder for its configuration and counters."""

    testbed: Testbed
    peer: Peer
    folder: Path
    environment: dict[str, str]
    store_pid: int

    def configure(self, handler: str, smtp_port: int, *, is_draining: bool) -> None:
        """Write the configuration of its program."""
        texts = {locale.value: rendered(locale)[1] for locale in Locale}
        sender = f"{SENDER.name} <{SENDER.address}>"
        config = Config(handler, is_draining, smtp_port, CONNECTIONS, sender, texts)
        (self.folder / "config.json").write_text(json.dumps(config._asdict()))

    def command(self, *arguments: object) -> str:
        """Run a command of its program; return what it prints."""
        command = [*self.peer.command, *map(str, arguments)]
        try:
            done = subprocess.run(
                command,
                env=self.environment,
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"{arguments[0]} took more than {COMMAND_SECONDS} s") from error
        except subprocess.CalledProcessError as error:
            raise PeerError(f"{arguments[0]}: {error.stderr.strip()[-1000:]}") from error
        return done.stdout

    def workers(self, processes: int) -> list[Program]:
        """Return its worker processes."""
        command = (*self.peer.command, "work")
        return [Program(f"{self.peer.name} {number}", command, self.environment) for number in range(processes)]

    def handled(self) -> Handled:
        """Add up the counters of its processes."""
        contents = [path.read_bytes() for path in self.folder.glob("handled-*")]
        counted = [COUNTER.unpack(content) for content in contents if content]
        return Handled(sum(count for count, _ in counted), max((last for _, last in counted), default=0.0))

    def wait_for(self, workers: Sequence[Process], count: int, seconds: float | None = None) -> Handled:
        """Return once this many messages are handled, or once the seconds are over and some more are."""
        start, before = time.monotonic(), self.handled().count
        while (handled := self.handled()).count < count:
            if seconds and time.monotonic() > start + seconds and handled.count > before:
                break
            _check(workers, start + WORK_SECONDS)
        return handled


@contextmanager
def peer_run(testbed: Testbed, peer: Peer) -> Iterator[PeerRun]:
    """Create the peer's store and folder, and remove them in the end."""
    with ExitStack() as stack:
        folder = testbed.folder / f"peer-{peer.name}"
        folder.mkdir()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "NODE_PATH": str(INSTALLED / "node_modules"),
            "BENCH_CONFIG": str(folder / "config.json"),
        }
        if peer.needs_redis:
            process, url = stack.enter_context(_redis(testbed))
            yield PeerRun(testbed, peer, folder, environment | {"REDIS_URL": url}, process.pid)
        else:
            stack.enter_context(testbed.new_database(DATABASE, template="template0"))
            found = psycopg.conninfo.conninfo_to_dict(driver_url(testbed.url(database=DATABASE)))
            libpq = {f"PG{name.upper()}": str(found[name]) for name in ("host", "port", "user")}
            yield PeerRun(testbed, peer, folder, environment | libpq | {"PGDATABASE": DATABASE}, testbed.postgres_pid)


@contextmanager
def _redis(testbed: Testbed) -> Iterator[tuple[Process, str]]:
    """Run a Redis that writes nothing to disk, which favours Celery and Dramatiq."""
    port = free_port()
    command = (shutil.which("redis-server") or "redis-server", "--port", str(port), "--bind", LOOPBACK)
    settings = ("--save", "", "--appendonly", "no", "--dir", str(testbed.folder))
    with testbed.running(Program("redis", (*command, *settings), {"PATH": os.environ["PATH"]})) as [process]:
        wait_for_port(port)
        yield process, f"redis://{LOOPBACK}:{port}/0"


def drain_peer(testbed: Testbed, peer: Peer, handler: str, messages: int, seconds: float) -> Drain:
    """Measure from when a peer's workers wake up with a backlog until all is handled, or until the time is over.

    The workers are started and warm, and are suspended while the backlog is enqueued. The last completions are not
    waited for. A peer without a daemon starts with its backlog, and is measured from its first message on.
    """
    with peer_run(testbed, peer) as run, testbed.smtp_sink() as port:
        run.configure(handler, port, is_draining=True)
        warm_up = peer.warm_up * peer.processes if peer.has_daemon else 0
        run.command("install", warm_up or messages)
        with testbed.running(*run.workers(peer.processes)) as workers:
            if warm_up:
                run.wait_for(workers, warm_up)
                with _suspended(workers):
                    run.command("enqueue", messages)
                    testbed.checkpoint()
                start = _awake(workers, warm_up)
            else:
                start = run.wait_for(workers, 1)
            before = _cpu(workers), cpu_seconds(run.store_pid)
            end = run.wait_for(workers, warm_up + messages, seconds)
            used = _cpu(workers) - before[0], cpu_seconds(run.store_pid) - before[1]
            count = end.count - start.count
            if count <= 0 or end.last <= start.last:
                raise PeerError(f"{end.count} messages were handled before they could be measured")
            memory = sum(peak_megabytes(worker.pid) for worker in workers)
    return Drain(count / (end.last - start.last), used[0] / count * 1000, used[1] / count * 1000, memory)


def peer_latencies(testbed: Testbed, peer: Peer, messages: int, pause: float) -> list[float]:
    """Return the milliseconds from before each message is enqueued until the sink has accepted its mail."""
    log = testbed.folder / "accepted"
    with peer_run(testbed, peer) as run, testbed.smtp_sink(log) as port:
        run.configure(SEND, port, is_draining=False)
        run.command("install", peer.warm_up)
        with testbed.running(*run.workers(1)) as workers:
            run.wait_for(workers, peer.warm_up)
            started = [float(line) for line in run.command("trickle", messages, pause).split()]
            run.wait_for(workers, peer.warm_up + messages)
    return latencies(started, log, lambda number: recipient(TRICKLE_FROM + number))


def latencies(started: Sequence[float], log: Path, recipient_of: Callable[[int], str]) -> list[float]:
    """Return the milliseconds from each start until the sink accepted that message."""
    lines = (line.split() for line in log.read_text().splitlines())
    accepted = {address: float(moment) for moment, address in lines}
    return [(accepted[recipient_of(number)] - start) * 1000 for number, start in enumerate(started)]


def _cpu(workers: Sequence[Process]) -> float:
    return sum(cpu_seconds(worker.pid) for worker in workers)


def _awake(workers: Sequence[Process], count: int) -> Handled:
    """Return once the workers use CPU: how soon they notice messages is not part of a drain."""
    before, deadline = _cpu(workers), time.monotonic() + WORK_SECONDS
    while _cpu(workers) <= before:
        _check(workers, deadline)
    return Handled(count, time.time())


@contextmanager
def _suspended(workers: Sequence[Process]) -> Iterator[None]:
    """Stop processes with their descendants, and let them go on in the end."""
    members = [member for worker in workers for member in family(worker.pid)]
    try:
        _signal(members, signal.SIGSTOP)
        yield
    finally:
        _signal(members, signal.SIGCONT)


def _signal(members: Sequence[int], number: signal.Signals) -> None:
    for member in members:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(member, number)


def _check(workers: Sequence[Process], deadline: float) -> None:
    for worker in workers:
        worker.raise_if_ended()
    if time.monotonic() > deadline:
        raise PeerError(f"not everything was handled within {WORK_SECONDS} s; {workers[0].tail()}")
    time.sleep(POLL_SECONDS)
