"""What the API does: registrations a second beside what its parts allow, and whether mail can slow it down."""

import http.client
import itertools
import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import psycopg

from api_service.passwords import hashed
from bench.ground import Ground
from bench.relaying import mail_sink
from bench.report import percentile
from bench.usage import cpu_seconds
from devstack.ports import LOOPBACK, free_ports
from shared.database import driver_url
from shared.ids import uuid7

CLIENTS = 8
WARM_UP = 10
CORES = len(os.sched_getaffinity(0))
ACCEPTED = 202
PASSWORD = "correct horse battery staple"
_number = itertools.count()


@dataclass(frozen=True)
class Saturated:
    """How many were done a second, and the CPU seconds that each took."""

    rate: float
    cpu_each: float
    store_cpu_each: float


@dataclass(frozen=True)
class Times:
    """How long registrations took, and what none can do without: a hash, and a commit of three rows; milliseconds."""

    registrations: list[float]
    hash: float
    commit: float

    def to_parts(self, percent: int) -> float:
        """Return how many times as long as its parts a registration took, but for the slowest of a hundred."""
        return percentile(self.registrations, percent) / (self.hash + self.commit)


def registrations(ground: Ground, seconds: float, module: str = "api_service.cli") -> Saturated:
    """Register from several clients at once; the CPU is the API's and PostgreSQL's, without the clients'."""
    ground.empty()
    port = free_ports().api
    with ground.running(ground.api(port, module)) as api:
        _client(port, time.perf_counter() + 1)  # warm
        before, of_store = cpu_seconds(api.pid), cpu_seconds(ground.cluster_pid)
        rate, done = rate_of(lambda until: _client(port, until), CLIENTS, seconds)
        used, by_store = cpu_seconds(api.pid) - before, cpu_seconds(ground.cluster_pid) - of_store
        return Saturated(rate, used / done, by_store / done)


def registrations_hardly_hashed(ground: Ground, seconds: float) -> Saturated:
    """Do the same where hashing is as good as free: the CPU is what a registration takes outside argon2."""
    return registrations(ground, seconds, "bench.hasty_api")


def times_with_cores(ground: Ground, requests: int) -> Times:
    """Register from as many clients as there are cores; then hash, and commit, as many at once."""
    ground.empty()
    port = free_ports().api
    with ground.running(ground.api(port)):
        registered = _on_each_core(lambda: _registration_times(port, requests))
    hashed_in = _on_each_core(lambda: [_timed(lambda: hashed(PASSWORD)) for _ in range(requests)])
    committed_in = _on_each_core(lambda: _commit_times(ground, requests))
    return Times(registered, statistics.median(hashed_in), statistics.median(committed_in))


def _on_each_core(work: Callable[[], list[float]]) -> list[float]:
    with ThreadPoolExecutor(CORES) as pool:
        return [time for future in [pool.submit(work) for _ in range(CORES)] for time in future.result()]


def _registration_times(port: int, requests: int) -> list[float]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    times = [_timed(lambda: _register(connection)) for _ in range(requests + WARM_UP)][WARM_UP:]
    connection.close()
    return times


def _commit_times(ground: Ground, requests: int) -> list[float]:
    with psycopg.connect(driver_url(ground.url("api"))) as connection:
        return [_timed(lambda: _insert_three(connection)) for _ in range(requests + WARM_UP)][WARM_UP:]


def argon2_rate(seconds: float) -> float:
    """Hash on every core at once; return hashes a second."""

    def hash_until(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            hashed(PASSWORD)
            done += 1
        return done

    return rate_of(hash_until, CORES, seconds)[0]


def commit_rate(ground: Ground, clients: int, seconds: float) -> float:
    """Insert three bare rows a transaction; return transactions a second."""
    ground.empty()

    def insert_until(until: float) -> int:
        done = 0
        with psycopg.connect(driver_url(ground.url("api"))) as connection:
            while time.perf_counter() < until:
                _insert_three(connection)
                done += 1
        return done

    return rate_of(insert_until, clients, seconds)[0]


def answer_times(ground: Ground, requests: int, *, is_hanging: bool) -> list[float]:
    """Register one after the other while a relay delivers to a quick or a hanging server; return milliseconds."""
    ground.empty()
    port = free_ports().api
    with ExitStack() as serving:
        smtp = serving.enter_context(mail_sink(ground, is_hanging=is_hanging))
        with ground.running(ground.relay(smtp)), ground.running(ground.api(port)):
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
            times = [_timed(lambda: _register(connection)) for _ in range(requests)][requests // 10 :]
            serving.close()  # before the relay, which would wait for a server that hangs
    return times


def rate_of(work: Callable[[float], int], workers: int, seconds: float) -> tuple[float, int]:
    """Let several threads work until a moment; return what they got done a second, and in all."""
    barrier = threading.Barrier(workers)

    def run() -> tuple[int, float]:
        barrier.wait()
        began = time.perf_counter()
        return work(began + seconds), time.perf_counter() - began

    with ThreadPoolExecutor(workers) as pool:
        results = [future.result() for future in [pool.submit(run) for _ in range(workers)]]
    done = sum(done for done, _ in results)
    return done / statistics.mean(took for _, took in results), done


def _client(port: int, until: float) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    done = 0
    while time.perf_counter() < until:
        _register(connection)
        done += 1
    connection.close()
    return done


def _register(connection: http.client.HTTPConnection) -> None:
    body = json.dumps({"email": f"user{next(_number)}@example.org", "password": PASSWORD, "full_name": "Ada"})
    connection.request("POST", "/v1/registrations", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != ACCEPTED:
        raise RuntimeError(f"a registration was answered {response.status}: {answer!r}")


def _insert_three(connection: psycopg.Connection) -> None:
    user_id, token_id = uuid4(), uuid4()
    address = f"bare{next(_number)}@example.org"
    connection.execute(
        "insert into users (id, email, email_canonical, password_hash, locale) values (%s, %s, %s, 'x', 'en')",
        [user_id, address, address],
    )
    connection.execute(
        "insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)"
        " values (%s, %s, 'activation', 'email', 'k', 5, now() + interval '1 day')",
        [token_id, user_id],
    )
    connection.execute(
        "insert into outbox_messages"
        " (id, template, channel, recipient, locale, payload, user_id, token_id, max_attempts)"
        " values (%s, 'activation', 'email', %s, 'en', '{}', %s, %s, 8)",
        [uuid7(), address, user_id, token_id],
    )
    connection.commit()


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
