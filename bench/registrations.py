"""Registrations over HTTP: how many a second, how long each takes, and its cost without password hashing."""

import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain

from argon2 import PasswordHasher, extract_parameters

from api_service.security.passwords import DUMMY_HASH
from bench.process_usage import cpu_seconds
from bench.report import (
    REGISTRATION_CPU,
    REGISTRATION_P99,
    REGISTRATIONS_TO_HASHES,
    Report,
    median,
    percentile,
)
from bench.testbed import Testbed
from devstack.ports import LOOPBACK, free_ports
from shared.host import cpu_count

CLIENTS, CORES = 8, cpu_count()
ROUNDS, ROUND_SECONDS = 5, 1.0
TIMED_ROUNDS, REQUESTS = 20, 5
"""Requests, and hashes, of each client in a timed round."""
WARM_UP_SECONDS = 0.5
PASSWORD = "correct horse battery staple"
ARGON2 = PasswordHasher.from_parameters(extract_parameters(DUMMY_HASH))
"""Hashing with the API's parameters, without the API."""
_numbers = itertools.count()

Task = Callable[[], object]


def registrations(testbed: Testbed, *, quick: bool) -> Report:
    """Measure the API with many clients, then with one per core, then with the cheapest hashing."""
    rounds = 1 if quick else ROUNDS
    with _api(testbed) as (port, _pid):
        rates = [
            (rate(lambda: Client(port).register, CLIENTS), rate(lambda: hash_password, CORES)) for _ in range(rounds)
        ]
        times, hash_times = [], []
        for _ in range(1 if quick else TIMED_ROUNDS):
            times += _times(lambda: Client(port).register)
            hash_times += _times(lambda: hash_password)
    with _api(testbed, "bench.fast_hashing") as (port, pid):
        cpu = [_cpu_each(testbed, port, pid) for _ in range(rounds)]
    return {
        "registrations/s": median(registered for registered, _ in rates),
        "  argon2 alone on all cores, hashes/s": median(hashed for _, hashed in rates),
        REGISTRATIONS_TO_HASHES: median(registered / hashed for registered, hashed in rates),
        "registration with a client per core, ms": {f"p{one}": percentile(times, one) for one in (50, 99)},
        "  argon2 alone, ms": {f"p{one}": percentile(hash_times, one) for one in (50, 99)},
        REGISTRATION_P99: percentile(times, 99) / median(hash_times),
        REGISTRATION_CPU: median(api for api, _ in cpu) * 1000,
        "  PostgreSQL's, ms": median(store for _, store in cpu) * 1000,
    }


class Client:
    """An HTTP client of the API with a connection that stays open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)

    def register(self, **headers: str) -> str:
        """Register a new user; return the address. Raises RuntimeError if the response is not 202."""
        email = f"new{next(_numbers)}@example.org"
        body = json.dumps({"email": email, "password": PASSWORD, "full_name": "Ada"})
        self._connection.request("POST", "/v1/registrations", body, {"Content-Type": "application/json"} | headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != http.client.ACCEPTED:
            raise RuntimeError(f"a registration got {response.status}: {content!r}")
        return email


def hash_password() -> None:
    """Hash a password as the API does."""
    ARGON2.hash(PASSWORD)


@contextmanager
def _api(testbed: Testbed, module: str = "api_service.cli") -> Iterator[tuple[int, int]]:
    """Run a warm API on empty tables; yield its port and process id."""
    testbed.truncate()
    port = free_ports().api
    with testbed.running(testbed.api(port, module)) as [api]:
        _run(lambda: Client(port).register, CLIENTS, WARM_UP_SECONDS)
        yield port, api.pid


def _run(make: Callable[[], Task], workers: int, seconds: float = ROUND_SECONDS) -> tuple[int, float]:
    """Repeat a task in several threads for some seconds; return how often it was done, and the seconds it took."""

    def work() -> int:
        task, done = make(), 0
        while time.perf_counter() < end:
            task()
            done += 1
        return done

    start = time.perf_counter()
    end = start + seconds
    with ThreadPoolExecutor(workers) as pool:
        counts = [one.result() for one in [pool.submit(work) for _ in range(workers)]]
    return sum(counts), time.perf_counter() - start


def rate(make: Callable[[], Task], workers: int, seconds: float = ROUND_SECONDS) -> float:
    """Return how often a second several threads together do a task."""
    done, seconds = _run(make, workers, seconds)
    return done / seconds


def _times(make: Callable[[], Task]) -> list[float]:
    """Return the milliseconds of each call of a task that is repeated in one thread per core."""

    def work(_number: int) -> list[float]:
        task, times = make(), []
        for _ in range(REQUESTS):
            start = time.perf_counter()
            task()
            times.append((time.perf_counter() - start) * 1000)
        return times

    with ThreadPoolExecutor(CORES) as pool:
        return list(chain.from_iterable(pool.map(work, range(CORES))))


def _cpu_each(testbed: Testbed, port: int, pid: int) -> tuple[float, float]:
    """Return the CPU seconds that the API and PostgreSQL spend on one registration."""
    before = cpu_seconds(pid), cpu_seconds(testbed.postgres_pid)
    done, _ = _run(lambda: Client(port).register, CLIENTS)
    return (cpu_seconds(pid) - before[0]) / done, (cpu_seconds(testbed.postgres_pid) - before[1]) / done
