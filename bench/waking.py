"""What waking the relays costs those who commit: nobody woken, woken after the commit, woken inside the transaction.

The writers are pgbench's, a program in C: sixteen threads of Python would be slower than what they measure.
A listener hears every wake-up, as relays do. Writers commit without a break while wake-ups come and go in short turns:
a disk goes at another pace from one second to the next, and what is compared is to stand side by side.
"""

import subprocess
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from psycopg import sql

from api_service.notifier import LONGEST_PAUSE, Notifier
from bench.ground import Ground
from bench.report import median
from devstack.programs import DATABASE
from shared.vocabulary import WAKE_CHANNEL

WRITERS = 16
THREADS = 2
WAKE_SECONDS = 0.001
"""From one committing request's wake-up to the next; the notifier makes one of those that come within 20 ms."""

TURN_SECONDS = 0.1
LEFT_OVER_SECONDS = LONGEST_PAUSE.total_seconds()
"""At the beginning of a turn, and not counted: the notification of the last wake-up before it may come so late."""
STARTING_SECONDS = 1
HEARING_SECONDS = 0.5
LOG = "log"
QUARTERS = 4
FEW = 10
"""Turns with notifications inside: what costs half of all commits is soon seen."""
SEED = 1
"""Of which of two turns comes first."""

# A user, a token and a message in one transaction, as a registration has them.
REGISTER = """
begin;
with holder as (
    insert into users (id, email, email_canonical, password_hash, locale)
    select gen_random_uuid(), address, address, 'x', 'en' from (select random() || '@example.org') as made (address)
    returning id, email),
right_to as (
    insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
    select gen_random_uuid(), id, 'activation', 'email', 'k', 5, now() + interval '1 day' from holder
    returning id, user_id)
insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id, max_attempts)
select overlay(gen_random_uuid()::text placing left(signpost_uuid7_floor(clock_timestamp())::text, 13) from 1)::uuid,
       'activation', 'email', email, 'en', '{}', user_id, right_to.id, 8
  from holder, right_to;
"""


@dataclass(frozen=True)
class Turn:
    """From one moment to another, in seconds since the epoch."""

    began: float
    ended: float

    def rate(self, moments: Sequence[float]) -> float:
        """Return how many a second of these moments, which are in order, lie in it."""
        return (bisect_left(moments, self.ended) - bisect_left(moments, self.began)) / (self.ended - self.began)


@dataclass(frozen=True)
class WakingCosts:
    """Transactions a second with nobody woken, and what either way of waking costs of them in per cent.

    After the commit it is told for each pair of turns, in the order in which they were.
    """

    unwoken: float
    after_commit: list[float]
    inside: float

    @property
    def by_quarter(self) -> dict[str, float]:
        """The cost after the commit in each quarter of the pairs: how far these are apart tells what it is worth."""
        each = max(1, len(self.after_commit) // QUARTERS)
        begins = range(0, each * QUARTERS, each)
        return {str(1 + begin // each): median(self.after_commit[begin : begin + each]) for begin in begins}


def waking_costs(ours: Ground, pairs: int) -> WakingCosts:
    """Have sixteen writers commit in so many pairs of turns, one with wake-ups and one without, then otherwise."""
    ours.empty()
    with _listening(ours), closing(Notifier(ours.url("api"))) as notifier:
        with _committing(ours, REGISTER + "commit;", pairs * 2) as commits:
            turns = list(_pairs(notifier.wake, pairs))
        with _committing(ours, f"{REGISTER}notify {WAKE_CHANNEL}; commit;", FEW) as notifying:
            inside = _turn(_nobody, FEW)
    rates = [(woken.rate(commits), unwoken.rate(commits)) for woken, unwoken in turns]
    unwoken_rate = sum(unwoken for _, unwoken in rates) / pairs
    after_commit = [cost(woken, unwoken) for woken, unwoken in rates if unwoken]  # a disk may stand still for a turn
    return WakingCosts(unwoken_rate, after_commit, cost(inside.rate(notifying), unwoken_rate))


def cost(woken: float, unwoken: float) -> float:
    """Return what is missing of a rate, in per cent."""
    return (1 - woken / unwoken) * 100


def _pairs(wake: Callable[[], None], pairs: int) -> Iterator[tuple[Turn, Turn]]:
    """Yield turns with wake-ups, each with one without that comes right before or after it."""
    dice = Random(SEED)
    for _ in range(pairs):
        ways = dice.sample([wake, _nobody], 2)
        first, second = map(_turn, ways)
        yield (first, second) if ways[0] is wake else (second, first)


def _turn(wake: Callable[[], None], times: int = 1) -> Turn:
    """Call that as often as busy workers of the API would, for a turn or so many: also nobody, which has its cost."""
    began = time.time()
    while time.time() < began + TURN_SECONDS * times:
        wake()
        time.sleep(WAKE_SECONDS)
    return Turn(began + LEFT_OVER_SECONDS, time.time())


def _nobody() -> None:
    """Wake nobody."""


@contextmanager
def _committing(ours: Ground, script: str, turns: int) -> Iterator[list[float]]:
    """Have writers commit for so many turns and longer; the moments of all commits are there once it is over."""
    commits: list[float] = []
    with TemporaryDirectory(dir=ours.folder) as folder:
        path = Path(folder) / "register.sql"
        # pgbench takes a line for a command.
        path.write_text(" ".join(script.split()).replace("; ", ";\n"))
        with subprocess.Popen(
            _pgbench(ours, path, turns), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as writers:
            try:
                time.sleep(STARTING_SECONDS)
                yield commits
                _, words = writers.communicate()
            finally:
                writers.kill()
        if writers.returncode:
            raise RuntimeError(f"pgbench failed: {words}")
        commits.extend(sorted(_moments(Path(folder))))


def _pgbench(ours: Ground, script: Path, turns: int) -> list[str]:
    seconds = round(turns * TURN_SECONDS) + 2 * STARTING_SECONDS
    return [
        str(ours.cluster.binaries / "pgbench"),
        *("--no-vacuum", f"--client={WRITERS}", f"--jobs={THREADS}", f"--time={seconds}", "--protocol=prepared"),
        *(f"--host={ours.cluster.folder}", f"--port={ours.cluster.port}", "--username=api"),
        *(f"--file={script}", "--log", f"--log-prefix={script.with_name(LOG)}", DATABASE),
    ]


def _moments(folder: Path) -> Iterator[float]:
    """Yield when each transaction ended, of the log of each thread: its last two columns are seconds and µs."""
    for log in folder.glob(f"{LOG}.*"):
        for line in log.read_text().splitlines():
            *_, seconds, microseconds = line.split()
            yield int(seconds) + int(microseconds) / 1e6


@contextmanager
def _listening(ours: Ground) -> Iterator[None]:
    with ours.connect() as connection:
        connection.execute(sql.SQL("listen {}").format(sql.Identifier(WAKE_CHANNEL)))
        is_over = threading.Event()

        def hear() -> None:
            while not is_over.is_set():
                list(connection.notifies(timeout=HEARING_SECONDS))

        hearing = threading.Thread(target=hear)
        hearing.start()
        try:
            yield
        finally:
            is_over.set()
            hearing.join()
