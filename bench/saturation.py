"""Registrations at saturation beside their own parts: hashes, and bare commits of three rows.

A shared machine goes at another pace from one second to the next, so all take turns within a second or two, and a
ratio is made of what stood side by side.
"""

import http.client
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import psycopg
from argon2 import PasswordHasher, extract_parameters

from api_service.security.passwords import DUMMY_HASH
from bench.ground import Ground
from bench.registering import PASSWORD, WARM_UP, insert_three, rate_of, register, register_until, timed
from bench.report import percentile
from bench.usage import cpu_seconds
from devstack.ports import LOOPBACK, free_ports
from shared.cores import cores
from shared.database import driver_url

CLIENTS = 8
CORES = cores()
AT_ONCE = 10
"""Requests of each client in a turn."""
WARM_UP_SECONDS = 0.5
ARGON2 = PasswordHasher.from_parameters(extract_parameters(DUMMY_HASH))
"""With the API's parameters, and nothing of the API around it."""


@dataclass(frozen=True)
class SpentAttempts:
    """The CPU seconds that a registration takes, of the API and of PostgreSQL."""

    cpu_each: float
    store_cpu_each: float


@dataclass(frozen=True)
class Rates:
    """What was done a second, one right after the other."""

    registrations: float
    hashes: float


@dataclass(frozen=True)
class Times:
    """How long each registration, hash and bare commit of a turn took, in milliseconds."""

    registrations: list[float]
    hashes: list[float]
    commits: list[float]

    @property
    def parts(self) -> float:
        """A hash and a bare commit, as they were at the median of the turn."""
        return statistics.median(self.hashes) + statistics.median(self.commits)


def to_parts(turns: list[Times], percent: int) -> float:
    """Return how many times as long as its parts a registration took, but for the slowest so many of a hundred."""
    return percentile([time / turn.parts for turn in turns for time in turn.registrations], percent)


def hash_to_hash(turns: list[Times], percent: int) -> float:
    """Return the same of the hashes alone: what the machine itself does to that which always does the same."""
    return percentile([time / statistics.median(turn.hashes) for turn in turns for time in turn.hashes], percent)


def saturated(port: int, turns: int, seconds: float) -> list[Rates]:
    """Register from several clients at once, then hash on all cores, for so long each; so many times."""
    return [
        Rates(
            rate_of(lambda until: register_until(port, until), CLIENTS, seconds)[0],
            rate_of(_hash_until, CORES, seconds)[0],
        )
        for _ in range(turns)
    ]


def times_with_cores(ground: Ground, port: int, turns: int) -> list[Times]:
    """Register from as many clients as there are cores, then hash, then commit, as many at once; so many times."""
    with ThreadPoolExecutor(CORES) as pool:
        clients = [_Client(ground, port) for _ in range(CORES)]

        def on_each_core(work: Callable[[_Client], list[float]]) -> list[float]:
            return list(chain.from_iterable(pool.map(work, clients)))

        on_each_core(_Client.hashes)  # a thread's first hash makes its memory, and takes half as long again
        found = [Times(*map(on_each_core, (_Client.registers, _Client.hashes, _Client.commits))) for _ in range(turns)]
    for client in clients:
        client.close()
    return found


def spent_hardly_hashing(ground: Ground, rounds: int, seconds: float) -> list[SpentAttempts]:
    """Register where hashing is as good as free: the CPU is what a registration takes outside argon2."""
    with serving(ground, "bench.hasty_api") as (port, pid):
        return [_spent(ground, port, pid, seconds) for _ in range(rounds)]


def _spent(ground: Ground, port: int, pid: int, seconds: float) -> SpentAttempts:
    before, of_store = cpu_seconds(pid), cpu_seconds(ground.cluster_pid)
    done = rate_of(lambda until: register_until(port, until), CLIENTS, seconds)[1]
    return SpentAttempts((cpu_seconds(pid) - before) / done, (cpu_seconds(ground.cluster_pid) - of_store) / done)


@contextmanager
def serving(ground: Ground, module: str = "api_service.cli") -> Iterator[tuple[int, int]]:
    """Run a warm API on empty tables; yield its port and its process."""
    ground.empty()
    port = free_ports().api
    with ground.running(ground.api(port, module)) as api:
        rate_of(lambda until: register_until(port, until), CLIENTS, WARM_UP_SECONDS)
        yield port, api.pid


class _Client:
    """Does one thing after the other, on connections that it keeps."""

    def __init__(self, ground: Ground, port: int) -> None:
        self._api = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
        self._database = psycopg.connect(driver_url(ground.url("api")))
        for _ in range(WARM_UP):
            register(self._api)
            insert_three(self._database)
        self._api.close()

    def registers(self) -> list[float]:
        found = [timed(lambda: register(self._api)) for _ in range(AT_ONCE)]
        # The API ends connections that rest as long as others' turns may; the next request opens a new one.
        self._api.close()
        return found

    def hashes(self) -> list[float]:
        return [timed(lambda: ARGON2.hash(PASSWORD)) for _ in range(AT_ONCE)]

    def commits(self) -> list[float]:
        return [timed(lambda: insert_three(self._database)) for _ in range(AT_ONCE)]

    def close(self) -> None:
        self._api.close()
        self._database.close()


def _hash_until(until: float) -> int:
    done = 0
    while time.perf_counter() < until:
        ARGON2.hash(PASSWORD)
        done += 1
    return done
