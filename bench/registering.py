"""Registering over HTTP, as clients do, and whether mail can slow it down; three bare inserts beside it."""

import http.client
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg

from bench.ground import Ground
from bench.relaying import mail_sink
from devstack.ports import LOOPBACK, free_ports
from shared.database import driver_url
from shared.ids import uuid7

WARM_UP = 10
ACCEPTED = 202
PASSWORD = "correct horse battery staple"
_number = itertools.count()


def commit_rate(ground: Ground, clients: int, seconds: float) -> float:
    """Insert three bare rows a transaction; return transactions a second."""
    ground.empty()

    def insert_until(until: float) -> int:
        done = 0
        with psycopg.connect(driver_url(ground.url("api"))) as connection:
            while time.perf_counter() < until:
                insert_three(connection)
                done += 1
        return done

    return rate_of(insert_until, clients, seconds)[0]


def answer_times(ground: Ground, requests: int) -> Iterator[list[float]]:
    """Register one after the other while a relay delivers to a hanging, then to a quick server; yield milliseconds."""
    ground.empty()
    port = free_ports().api
    with ground.running(ground.api(port)):
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
        for is_hanging in (True, False):
            with mail_sink(ground, is_hanging=is_hanging) as smtp, ground.running(ground.relay(smtp)):
                connection.close()  # the API ends those that rest while a relay starts; the next request opens it
                yield [timed(lambda: register(connection)) for _ in range(requests)][requests // 10 :]


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


def register_until(port: int, until: float) -> int:
    """Register one after the other until a moment; return how many times."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    done = 0
    while time.perf_counter() < until:
        register(connection)
        done += 1
    connection.close()
    return done


def register(connection: http.client.HTTPConnection) -> None:
    """Register somebody new."""
    body = json.dumps({"email": f"user{next(_number)}@example.org", "password": PASSWORD, "full_name": "Ada"})
    connection.request("POST", "/v1/registrations", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != ACCEPTED:
        raise RuntimeError(f"a registration was answered {response.status}: {answer!r}")


def insert_three(connection: psycopg.Connection) -> None:
    """Commit the rows of a registration by three bare statements."""
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


def timed(work: Callable[[], object]) -> float:
    """Return the milliseconds that it takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
