"""Expensive results are cached in proportion to their cost, and computed once for all callers."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from operator_console.web.cache import CountPermits, SingleFlightCache
from operator_console.web.errors import BusyError


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Computation:
    """Counts its runs, each of which takes some seconds on the clock."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds, self.runs = clock, seconds, 0

    def __call__(self) -> int:
        self.runs += 1
        self.clock.seconds += self.seconds
        return self.runs


def test_an_expensive_result_is_cached_for_ten_times_its_cost() -> None:
    clock = Clock()
    cache = SingleFlightCache[int](Computation(clock, 3), CountPermits(8), clock)
    cached = cache.get()
    assert (cached.value, cached.cached_seconds, cached.refresh_after(5)) == (1, 30, 30)
    clock.seconds += 29
    assert cache.get().value == 1
    clock.seconds += 1
    assert cache.get().value == 2


def test_a_cheap_result_is_computed_each_time() -> None:
    clock = Clock()
    cache = SingleFlightCache[int](Computation(clock, 0.1), CountPermits(8), clock)
    assert [cache.get().value for _ in range(3)] == [1, 2, 3]
    assert cache.get().refresh_after(5) == 5


def test_concurrent_callers_share_one_computation() -> None:
    clock, finish = Clock(), Event()
    computation = Computation(clock, 3)

    def slow() -> int:
        finish.wait(10)
        return computation()

    cache = SingleFlightCache[int](slow, CountPermits(8), clock)
    with ThreadPoolExecutor(8) as callers:
        values = [callers.submit(lambda: cache.get().value) for _ in range(8)]
        finish.set()
        assert {value.result(60) for value in values} == {1}


def test_an_expensive_failure_is_shared_for_as_long_as_it_took() -> None:
    clock = Clock()
    runs: list[int] = []

    def fails_once() -> int:
        runs.append(1)
        clock.seconds += 3
        if len(runs) == 1:
            raise ValueError
        return 1

    cache = SingleFlightCache[int](fails_once, CountPermits(8), clock)
    with pytest.raises(ValueError):  # noqa: PT011 - the computation's own
        cache.get()
    clock.seconds += 2
    with pytest.raises(ValueError):  # noqa: PT011 - the same, cached
        cache.get()
    clock.seconds += 1
    assert cache.get().value == 1


def test_without_a_permit_callers_get_the_previous_result_or_an_error() -> None:
    clock, permits = Clock(), CountPermits(1)
    cache = SingleFlightCache[int](Computation(clock, 3), permits, clock)
    with permits.hold(), pytest.raises(BusyError):
        cache.get()
    assert cache.get().value == 1
    clock.seconds += 31
    with permits.hold():
        assert cache.get().value == 1
    assert cache.get().value == 2


def test_a_cached_result_needs_no_permit() -> None:
    clock, permits = Clock(), CountPermits(1)
    cache = SingleFlightCache[int](Computation(clock, 3), permits, clock)
    cache.get()
    with permits.hold():
        assert cache.get().value == 1


def test_waiting_for_another_callers_computation_takes_a_permit() -> None:
    clock, started, finish = Clock(), Event(), Event()

    def slow() -> int:
        started.set()
        finish.wait(60)
        return 1

    cache = SingleFlightCache[int](slow, CountPermits(1), clock)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(cache.get)
        assert started.wait(60)
        with pytest.raises(BusyError):
            cache.get()
        finish.set()
        assert first.result(60).value == 1
