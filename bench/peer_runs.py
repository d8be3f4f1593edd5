"""What it takes to run a peer: a store of its own, its errand, its messages filled in, its tallies read."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from bench.ground import Ground, wait_for_port
from bench.mails import SENDER, mail_in
from bench.peer_list import INSTALLED, ROOT, Peer
from bench.peers.errand import FILLED, GO_ON, TALLY, Errand, Form, Words
from bench.relaying import CONNECTIONS
from bench.turns import FailedError
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process, Program
from shared.vocabulary import Locale

FILL_SECONDS = 90
FILLING = "filling"
LOOK_SECONDS = 0.005


@dataclass(frozen=True)
class Tallied:
    """What all processes of a peer have handled so far."""

    count: int = 0
    last: float = 0.0


@dataclass
class PeerRun:
    """A peer with a database, or a Redis, of its own, and a folder for its errand and tallies."""

    ground: Ground
    peer: Peer
    folder: Path
    environment: dict[str, str]
    store_pid: int

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

    @contextmanager
    def filling(self, first: int, rest: int) -> Iterator[subprocess.Popen[str]]:
        """Install it and fill in the first lot, beside whatever else is done; the rest waits for ``go_on``."""
        command = [*self.peer.command, "fill", str(first), str(rest)]
        errors = self.folder / FILLING
        with (
            errors.open("w") as told,
            subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=told, text=True
            ) as process,
        ):
            try:
                self._wait_for_the_first(process)
                yield process
            finally:
                process.kill()

    def _wait_for_the_first(self, filling: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + FILL_SECONDS
        while not (self.folder / FILLED).exists():
            if filling.poll() is not None:
                raise FailedError(f"fill: {(self.folder / FILLING).read_text().strip()[-1000:]}")
            if time.monotonic() > deadline:
                raise FailedError(f"fill took more than {FILL_SECONDS} s")
            time.sleep(LOOK_SECONDS)

    def go_on(self, filling: subprocess.Popen[str]) -> None:
        """Have the rest filled in; return once it is."""
        (self.folder / GO_ON).touch()
        try:
            if filling.wait(FILL_SECONDS):
                raise FailedError(f"fill: {(self.folder / FILLING).read_text().strip()[-1000:]}")
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"fill took more than {FILL_SECONDS} s") from error

    def working(self) -> Program:
        """Return its daemon."""
        return Program(self.peer.name, (*self.peer.command, "work"), self.environment)

    def tallied(self) -> Tallied:
        """Add up what its processes have told."""
        told = [TALLY.unpack(content) for path in self.folder.glob("tally-*") if (content := path.read_bytes())]
        return Tallied(sum(count for count, _ in told), max((last for _, last in told), default=0.0))

    def latencies(self) -> list[float]:
        """Return the milliseconds that each message took, in no order between processes."""
        return [float(line) for path in self.folder.glob("latencies-*") for line in path.read_text().splitlines()]


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
