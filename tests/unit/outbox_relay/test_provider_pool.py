from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from outbox_relay.channels.base import CappedProvider, Session
from outbox_relay.model import WITHOUT_CAPS, Caps, Failure, FailureClass, Rate
from outbox_relay.providers.circuit_breaker import BreakerState
from outbox_relay.providers.pool import ProviderPool
from outbox_relay.providers.provider import PooledProvider, ProviderState
from tests.support.claimed import a_claimed_message

DOWN = Failure(FailureClass.PROVIDER, "first", "connection refused")
A_LETTER = UUID("019aa5c0-0000-7000-8000-000000000001")
CLOSED = ProviderState(openings=0, open_for=0.0)


@dataclass(frozen=True)
class NamedProvider:
    name: str

    def session(self) -> Session:
        raise NotImplementedError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_ladder(clock: Callable[[], float], *, first: Caps = WITHOUT_CAPS, connections: int = 8) -> ProviderPool:
    providers = [CappedProvider(NamedProvider("first"), first), CappedProvider(NamedProvider("second"))]
    return ProviderPool(providers, clock, connections)


def answer(rung: PooledProvider, standing: ProviderState) -> None:
    """Let the fleet answer what the rung has to tell and to ask."""
    rung.learn(rung.report(), standing)


def half_open(rung: PooledProvider, clock: Clock) -> None:
    rung.failed(DOWN)
    answer(rung, ProviderState(openings=1, open_for=1.0))
    clock.now += 60


def test_a_provider_that_may_be_tried_again_gets_nobody_without_leave() -> None:
    clock = Clock()
    first, _ = a_ladder(clock).rungs
    half_open(first, clock)
    assert not first.admits()
    answer(first, ProviderState(openings=1, open_for=0.0, has_probe_permit=False))
    assert not first.admits()
    assert not first.is_asking()  # it is asked about once a second, not without end


def test_a_provider_that_is_tried_again_gets_one_visitor_with_one_letter() -> None:
    clock = Clock()
    ladder = a_ladder(clock)
    first, second = ladder.rungs
    half_open(first, clock)
    second.failed(replace(DOWN, retry_after=timedelta(hours=1)))
    ladder.allowance(500)
    answer(first, ProviderState(openings=1, open_for=0.0, has_probe_permit=True))
    assert ladder.allowance(500) == 1
    assert ladder.allowance(500, waiting=1) == 0
    with first.visited():
        assert not first.admits()
        first.took(A_LETTER)
        assert not first.may_take()
        first.finished(A_LETTER)
        assert first.may_take()
    assert first.admits()


def test_a_provider_that_answers_gets_everyone() -> None:
    clock = Clock()
    ladder = a_ladder(clock)
    first, _ = ladder.rungs
    half_open(first, clock)
    first.admits()
    answer(first, ProviderState(openings=1, open_for=0.0, has_probe_permit=True))
    with first.visited():
        first.succeeded()
        first.succeeded()
        assert first.admits()
    assert ladder.allowance(500) == 500


def test_what_is_found_out_is_told_once_and_again_if_nobody_heard_it() -> None:
    first, _ = a_ladder(Clock()).rungs
    first.failed(DOWN)
    report = first.report()
    assert report is not None
    assert report.news is BreakerState.OPEN
    assert first.report() is None
    first.go_on_alone(report)
    told_again = first.report()
    assert told_again is not None
    assert told_again.news is BreakerState.OPEN


def test_news_from_here_is_not_undone_by_an_older_answer() -> None:
    first, _ = a_ladder(Clock()).rungs
    first.failed(DOWN)
    first.learn(None, CLOSED)
    assert not first.is_usable()


def test_what_another_relay_found_out_holds_here() -> None:
    first, _ = a_ladder(Clock()).rungs
    first.learn(None, ProviderState(openings=2, open_for=3.0))
    assert not first.is_usable()
    assert first.remaining() == timedelta(seconds=3)
    first.learn(None, CLOSED)
    assert first.admits()


def test_a_relay_that_cannot_ask_gives_itself_leave_and_its_rate() -> None:
    clock = Clock()
    first, _ = a_ladder(clock, first=Caps(Rate(14, "s"))).rungs
    half_open(first, clock)
    assert not first.admits()
    first.go_on_alone(first.report())
    first.admits()
    first.go_on_alone(first.report())
    assert first.admits()


def test_a_provider_is_left_alone_for_as_long_as_it_asks() -> None:
    ladder = a_ladder(Clock())
    first, second = ladder.rungs
    first.failed(Failure(FailureClass.PROVIDER, "first", "429", retry_after=timedelta(hours=1)))
    assert first.remaining() >= timedelta(minutes=59)
    assert ladder.is_usable()
    second.failed(DOWN)
    assert not ladder.is_usable()
    assert ladder.deferral().delay < timedelta(minutes=1)


def test_a_provider_is_healthy_while_it_takes_letters() -> None:
    clock = Clock()
    first, _ = a_ladder(clock).rungs
    assert not first.is_healthy()
    first.succeeded()
    assert first.is_healthy()
    clock.now += 31
    assert not first.is_healthy()


def test_no_more_couriers_are_at_a_provider_than_it_has_connections() -> None:
    first, second = a_ladder(Clock(), first=Caps(connections=1)).rungs
    with first.visited(), second.visited():
        assert not first.admits()
        assert second.admits()
    assert first.admits()


def test_no_more_is_claimed_than_there_are_tokens_and_no_token_is_counted_twice() -> None:
    clock = Clock()
    providers = [CappedProvider(NamedProvider("first"), Caps(Rate(14, "s")))]
    ladder = ProviderPool(providers, clock, connections=8)
    [first] = ladder.rungs
    assert ladder.allowance(500) == 0
    answer(first, ProviderState(openings=0, open_for=0.0, granted=14, token_in=0.1))
    assert ladder.allowance(500) == 14
    assert ladder.allowance(500, waiting=10) == 4
    first.took(A_LETTER)
    assert ladder.allowance(500, waiting=9) == 4


def test_a_cap_reached_is_waited_for_by_what_is_young_and_passed_by_what_is_late() -> None:
    clock = Clock()
    ladder = a_ladder(clock, first=Caps(connections=1))
    message = a_claimed_message(enqueued_monotonic=100.0)
    assert ladder.is_for(0, message, first=0)
    assert not ladder.is_for(1, message, first=0)
    clock.now = 106.0
    assert ladder.is_for(1, message, first=0)


def test_a_provider_that_is_down_or_has_failed_with_a_letter_is_not_waited_for() -> None:
    ladder = a_ladder(Clock())
    message = a_claimed_message(enqueued_monotonic=100.0)
    assert ladder.is_for(1, message, first=1)
    assert not ladder.is_for(0, message, first=1)
    ladder.rungs[0].failed(DOWN)
    assert ladder.is_for(1, message, first=0)


def test_a_token_far_off_is_not_worth_waiting_for() -> None:
    clock = Clock()
    ladder = ProviderPool([CappedProvider(NamedProvider("first"), Caps(Rate(1, "m")))], clock, connections=8)
    [first] = ladder.rungs
    assert ladder.is_worth_waiting(0)
    ladder.allowance(1)
    answer(first, ProviderState(openings=0, open_for=0.0, granted=0, token_in=59.0))
    assert not ladder.is_worth_waiting(0)
    assert ladder.deferral().delay == timedelta(seconds=59)


def test_a_provider_is_quiet_only_while_nothing_goes_there_and_nothing_is_wrong_with_it() -> None:
    clock = Clock()
    first, second = a_ladder(clock, first=Caps(Rate(10, "s"))).rungs
    assert first.is_quiet()
    with first.visited():
        assert not first.is_quiet()
    first.succeeded()
    assert not first.is_quiet()
    clock.now += 60
    assert first.is_quiet()
    first.offer(1)
    answer(first, ProviderState(openings=0, open_for=0.0, granted=1))
    assert not first.is_quiet()  # others may want the token that lies here
    half_open(second, clock)
    assert not second.is_quiet()
