from dataclasses import dataclass
from datetime import timedelta

from outbox_relay.channels.base import Session
from outbox_relay.ladder import Ladder
from outbox_relay.outcomes import Failure, FailureClass

DOWN = Failure(FailureClass.PROVIDER, "first", "connection refused")


@dataclass(frozen=True)
class NamedProvider:
    name: str

    def session(self) -> Session:
        raise NotImplementedError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_ladder(clock: Clock) -> Ladder:
    return Ladder([NamedProvider("first"), NamedProvider("second")], clock)


def test_a_provider_that_is_tried_again_gets_one_visitor() -> None:
    clock = Clock()
    first, _ = a_ladder(clock).rungs
    first.failed(DOWN)
    assert not first.admits()
    clock.now += 60
    with first.visited():
        assert not first.admits()
    assert first.admits()


def test_a_provider_that_answers_gets_everyone() -> None:
    clock = Clock()
    first, _ = a_ladder(clock).rungs
    first.failed(DOWN)
    clock.now += 60
    with first.visited():
        first.succeeded()
        assert first.admits()


def test_a_provider_is_left_alone_for_as_long_as_it_asks() -> None:
    clock = Clock()
    ladder = a_ladder(clock)
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
