"""Running a peer: its tables filled, its workers started, its tallies read until it is done or its time is up."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import psycopg

from bench.ground import Ground, wait_for_port
from bench.mails import SENDER, mail_in
from bench.peer_list import INSTALLED, ROOT, Peer
from bench.peers.errand import TALLY, Errand, Form, Words
from bench.relaying import CONNECTIONS, Drain, mail_sink
from bench.turns import FailedError
from bench.usage import cpu_seconds, peak_megabytes
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process, Program
from shared.vocabulary import Locale

FILL_SECONDS = 90
START_SECONDS = 30
LOOK_SECONDS = 0.01
WARM_UP = 50
"""Messages whose latency is not counted: workers start, connections open, code is compiled."""


@dataclass(frozen=True)
class Tallied:
    """What all processes of a peer have handled so far."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0


@dataclass
class PeerRun:
    """A peer with a database, or a Redis, of its own, and a folder for its errand and tallies."""

    ground: Ground
    peer: Peer
    folder: Path
    environment: dict[str, str]
    store_pid: int
    commands: list[Process] = field(default_factory=list)

    def tell(self, errand: Errand) -> None:
        """Write down what to do."""
        told = asdict(errand) | {"letter": errand.letter.decode()}
        del told["folder"]
        (self.folder / "errand.json").write_text(json.dumps(told))

    def command(self, *arguments: str) -> None:
        """Run a command to its end."""
        try:
            subprocess.run(
                [*self.peer.command, *arguments],
                env=self.environment,
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
                timeout=FILL_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"{arguments[0]} took more than {FILL_SECONDS} s") from error
        except subprocess.CalledProcessError as error:
            raise FailedError(f"{arguments[0]}: {error.stderr.strip()[-1000:]}") from error

    def working(self) -> Program:
        """Return its daemon."""
        return Program(self.peer.name, (*self.peer.command, "work"), self.environment)

    def tallied(self) -> Tallied:
        """Add up what its processes have told."""
        told = [TALLY.unpack(content) for path in self.folder.glob("tally-*") if (content := path.read_bytes())]
        told = [(count, first, last) for count, first, last in told if count]
        if not told:
            return Tallied()
        counts, firsts, lasts = zip(*told, strict=True)
        return Tallied(sum(counts), min(firsts), max(lasts))

    def latencies(self) -> list[float]:
        """Return the milliseconds that each message took, in no order between processes."""
        return [float(line) for path in self.folder.glob("latencies-*") for line in path.read_text().splitlines()]


@dataclass(frozen=True)
class Load:
    """How many messages a peer is given, in which form, for how long at most, and where it sends to."""

    form: Form
    messages: int
    most: timedelta
    sink: Callable[[Ground], AbstractContextManager[int]] = mail_sink


def drain_peer(ground: Ground, peer: Peer, load: Load) -> Drain:
    """Fill it, start it, and measure from the first message seen handled to the last, for about as long as allowed.

    So neither its start, nor a batch fetched before that, nor its last settling counts; the relay's do.
    """
    with running(ground, peer) as run, load.sink(ground) as port:
        run.tell(errand_for(run, load.form, port, is_draining=True))
        run.command("fill", str(load.messages))
        ground.settle_down()
        with ground.running(run.working()) as worker:
            return _watched(run, worker, load)


def _watched(run: PeerRun, worker: Process, load: Load) -> Drain:
    begun = _wait_for(run, worker, 1)
    used_before = cpu_seconds(worker.pid), cpu_seconds(run.store_pid)
    now = time.monotonic()
    enough, deadline = now + load.most.total_seconds(), now + START_SECONDS
    while (done := run.tallied()).count < load.messages and not (time.monotonic() > enough and done.last > begun.last):
        _go_on(worker, deadline)
    used = cpu_seconds(worker.pid) - used_before[0], cpu_seconds(run.store_pid) - used_before[1]
    if done.last <= begun.last:
        raise FailedError(f"{done.count} messages were over before they could be looked at")
    handled = done.count - begun.count
    rate = handled / (done.last - begun.last)
    return Drain(rate, used[0] / handled * 1000, used[1] / handled * 1000, peak_megabytes(worker.pid))


def _go_on(worker: Process, deadline: float) -> None:
    worker.raise_if_ended()
    if time.monotonic() > deadline + 1:
        raise FailedError(f"nothing was handled; {worker.tail()}")
    time.sleep(LOOK_SECONDS)


def peer_latencies(ground: Ground, peer: Peer, messages: int, every: timedelta) -> list[float]:
    """Return the milliseconds from before each message's enqueueing until its mail was accepted, in an idle system."""
    with running(ground, peer) as run, mail_sink(ground) as port:
        run.tell(replace(errand_for(run, Form.USUAL, port, is_draining=False), pause_seconds=every.total_seconds()))
        run.command("fill", str(WARM_UP))
        with ground.running(run.working()) as worker:
            _wait_for(run, worker, WARM_UP)
            run.command("trickle", str(messages))
            _wait_for(run, worker, WARM_UP + messages)
        return run.latencies()


def _wait_for(run: PeerRun, worker: Process, count: int) -> Tallied:
    deadline = time.monotonic() + START_SECONDS
    while (tallied := run.tallied()).count < count:
        _go_on(worker, deadline)
    return tallied


def errand_for(run: PeerRun, form: Form, port: int, *, is_draining: bool) -> Errand:
    """Return the same for everybody."""
    words = {locale.value: Words(**mail_in(locale).words) for locale in Locale}
    sender = f"{SENDER.name} <{SENDER.address}>"
    letter = mail_in(Locale.EN).content
    return Errand(form, is_draining, port, CONNECTIONS, 0.0, sender, words, letter, run.folder)


@contextmanager
def running(ground: Ground, peer: Peer) -> Iterator[PeerRun]:
    """Give the peer what it needs, and take it away again."""
    with ExitStack() as ending:
        folder = ground.folder / f"peer-{peer.name}"
        folder.mkdir()
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "NODE_PATH": str(INSTALLED / "node_modules"),
            "BENCH_ERRAND": str(folder / "errand.json"),
        }
        if peer.needs_redis:
            process, url = ending.enter_context(redis(ground))
            yield PeerRun(ground, peer, folder, environment | {"REDIS_URL": url}, process.pid)
        else:
            database = ending.enter_context(empty_database(ground))
            yield PeerRun(ground, peer, folder, environment | database, ground.cluster_pid)


@contextmanager
def redis(ground: Ground) -> Iterator[tuple[Process, str]]:
    """Run a Redis that keeps nothing on disk: quicker than durable, and so in favour of those who use it."""
    port = free_port()
    command = (shutil.which("redis-server") or "redis-server", "--port", str(port), "--bind", LOOPBACK)
    settings = ("--save", "", "--appendonly", "no", "--dir", str(ground.folder))
    with ground.running(Program("redis", (*command, *settings), {"PATH": os.environ["PATH"]})) as process:
        wait_for_port(port)
        yield process, f"redis://{LOOPBACK}:{port}/0"


@contextmanager
def empty_database(ground: Ground) -> Iterator[dict[str, str]]:
    """Make a database with nothing in it; yield what libpq and its like are told of it."""
    name = "bench_peer"
    with ground.connect() as connection:
        connection.execute(f"create database {name}")
    try:
        told = psycopg.conninfo.conninfo_to_dict(ground.dsn)
        yield {"PGHOST": str(told["host"]), "PGPORT": str(told["port"]), "PGUSER": "postgres", "PGDATABASE": name}
    finally:
        with ground.connect() as connection:
            connection.execute(f"drop database {name} with (force)")
