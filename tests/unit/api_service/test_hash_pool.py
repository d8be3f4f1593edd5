"""Password hashes run in few threads, for a bounded number of requests."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier, BrokenBarrierError, Event

import pytest

from api_service.errors import OverloadedError
from api_service.security import hash_pool, passwords
from api_service.security.hash_pool import HashPool
from tests.support.eventually import eventually

THREADS = 2
PASSWORD = "four quiet words here"


@pytest.fixture
def pool() -> Iterator[HashPool]:
    pool = HashPool("test", THREADS, 3)
    yield pool
    pool.close()


def test_a_password_matches_its_hash_only(pool: HashPool) -> None:
    password_hash = pool.hash(PASSWORD)
    assert pool.verify(password_hash, PASSWORD)
    assert not pool.verify(password_hash, "four other words here")
    assert not pool.verify("no hash", PASSWORD)


def test_one_request_more_than_allowed_is_rejected_at_once(pool: HashPool) -> None:
    with ExitStack() as others:
        for _ in range(3):
            others.enter_context(pool.admit())
        with pytest.raises(OverloadedError) as error, pool.admit():
            pass
    assert error.value.pool == "test"
    assert 1 <= error.value.retry_after_seconds <= 4
    with pool.admit():  # all other requests have given their places back
        pass


def test_a_place_is_given_back_after_an_error(pool: HashPool) -> None:
    for _ in range(4):
        with pytest.raises(ValueError, match="wrong"), pool.admit():
            raise ValueError("wrong")


def test_as_many_hashes_run_at_once_as_the_pool_has_threads(pool: HashPool, monkeypatch: pytest.MonkeyPatch) -> None:
    together, one_more = Barrier(THREADS), Barrier(THREADS + 1)

    def meet(_password: str) -> str:
        together.wait(20)
        with pytest.raises(BrokenBarrierError):
            one_more.wait(0.2)
        return "hash"

    monkeypatch.setattr(passwords, "hash_password", meet)
    with ThreadPoolExecutor(2 * THREADS) as requests:
        assert set(requests.map(pool.hash, [PASSWORD] * 2 * THREADS)) == {"hash"}


def test_a_request_that_waits_too_long_is_rejected(pool: HashPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_pool, "DEADLINE_SECONDS", 1.0)
    is_over, started = Event(), []

    def wait(password: str) -> str:
        started.append(password)
        is_over.wait(20)
        return "hash"

    monkeypatch.setattr(passwords, "hash_password", wait)
    with ThreadPoolExecutor(THREADS) as requests:
        running = [requests.submit(pool.hash, PASSWORD) for _ in range(THREADS)]
        eventually(lambda: len(started) == THREADS)
        with pytest.raises(OverloadedError):
            pool.hash("a late one")
        is_over.set()
        assert [one.result(20) for one in running] == ["hash"] * THREADS  # a hash that has started is not wasted
    pool.close()
    assert started == [PASSWORD] * THREADS  # the late one was cancelled before its turn
