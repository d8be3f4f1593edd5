"""What waking the relays after their commits costs those who commit.

The writers are pgbench's, a program in C: sixteen threads of Python would be slower than what they measure.
A listener hears every wake-up, as relays do. Writers commit without a break while wake-ups come and go in short turns:
a disk goes at another pace from one second to the next, and what is compared is to stand side by side.
"""

import math
import statistics
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

from api_service.outbox_signals.wake_relays import LONGEST_PAUSE, Notifier
from bench.ground import Ground
from bench.turns import FailedError
from devstack.programs import DATABASE
from shared.vocabulary import WAKE_CHANNEL

WRITERS = 16
THREADS = 2
WAKE_SECONDS = 0.001
"""From one committing request's wake-up to the next; the notifier makes one of those that come within 20 ms."""

TURN_SECONDS = 0.1
LEFT_OVER_SECONDS = LONGEST_PAUSE.total_seconds()
"""At the beginning of a turn, and not counted: a notification of the turn before may come so late, and as long as
wake-ups have only begun, notifications come faster than they will (1, 4, 16 ms after each other)."""
STARTING_SECONDS = 1
ENDING_SECONDS = 2
"""What turns may take longer than they should: there is nothing to count once the writers have ended."""
HEARING_SECONDS = 0.5
LOG = "log"
SEED = 1
"""Of which turn of a pair comes first."""

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
commit;
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
    """Transactions a second with nobody woken, and what waking costs of them in each pair of turns, in per cent."""

    unwoken: float
    after_commit: list[float]

    @property
    def standard_error(self) -> float:
        """By how much the median of so many pairs is off by chance: that of a mean, and a quarter more."""
        return math.sqrt(math.pi / 2 / len(self.after_commit)) * statistics.stdev(self.after_commit)


def waking_costs(ours: Ground, pairs: int) -> WakingCosts:
    """Have sixteen writers commit in so many pairs of turns, one with wake-ups and one without."""
    ours.empty()
    with (
        _listening(ours),
        closing(Notifier(ours.url("api"))) as notifier,
        _committing(ours, 2 * pairs * TURN_SECONDS) as commits,
    ):
        turns = list(pairs_of_turns(notifier.wake, pairs))
    return costs_of(turns, commits)


def costs_of(turns: Sequence[tuple[Turn, Turn]], commits: Sequence[float]) -> WakingCosts:
    """Compare the turns with wake-ups to those without, beside which each was, by what was committed in them."""
    rates = [(woken.rate(commits), unwoken.rate(commits)) for woken, unwoken in turns]
    usual = statistics.fmean(unwoken for _, unwoken in rates)
    # Of the usual rate, not of the pair's own: what is divided by something that swings seems larger than it is.
    return WakingCosts(usual, [(unwoken - woken) / usual * 100 for woken, unwoken in rates])


def pairs_of_turns(wake: Callable[[], None], pairs: int) -> Iterator[tuple[Turn, Turn]]:
    """Yield turns with wake-ups, each with one without that comes right before or, as often, right after it."""
    is_first = [number % 2 == 0 for number in range(pairs)]
    Random(SEED).shuffle(is_first)
    for is_woken_first in is_first:
        if is_woken_first:
            woken, unwoken = _turn(wake), _turn(_nobody)
        else:
            unwoken, woken = _turn(_nobody), _turn(wake)
        yield woken, unwoken


def _turn(wake: Callable[[], None]) -> Turn:
    """Call that for a turn as often as busy workers of the API would: also nobody, since calling has its own cost."""
    began = time.time()
    while time.time() < began + TURN_SECONDS:
        wake()
        time.sleep(WAKE_SECONDS)
    return Turn(began + LEFT_OVER_SECONDS, time.time())


def _nobody() -> None:
    """Wake nobody."""


@contextmanager
def _committing(ours: Ground, seconds: float) -> Iterator[list[float]]:
    """Have writers commit for so long and a little longer; the moments of all commits are there once it is over."""
    commits: list[float] = []
    with TemporaryDirectory(dir=ours.folder) as folder:
        path = Path(folder) / "register.sql"
        # pgbench takes a line for a command.
        path.write_text(" ".join(REGISTER.split()).replace("; ", ";\n"))
        command = _pgbench(ours, path, STARTING_SECONDS + seconds + ENDING_SECONDS)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as writers:
            try:
                time.sleep(STARTING_SECONDS)
                yield commits
                has_ended_early = writers.poll() is not None
                _, words = writers.communicate()
            finally:
                writers.kill()
        if has_ended_early or writers.returncode:
            raise FailedError(f"pgbench ended before the last turn, or failed: {words}")
        commits.extend(sorted(moments_in(Path(folder))))


def _pgbench(ours: Ground, script: Path, seconds: float) -> list[str]:
    return [
        str(ours.cluster.binaries / "pgbench"),
        *("--no-vacuum", f"--client={WRITERS}", f"--jobs={THREADS}", f"--time={math.ceil(seconds)}"),
        *(f"--host={ours.cluster.folder}", f"--port={ours.cluster.port}", "--username=api", "--protocol=prepared"),
        *(f"--file={script}", "--log", f"--log-prefix={script.with_name(LOG)}", DATABASE),
    ]


def moments_in(folder: Path) -> Iterator[float]:
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
