"""Answers that are kept for as long as they were dear, and asked for once for all who want them."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from operator_console.web.kept import Kept


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Question:
    """Counts how often it is asked, and takes its time."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds, self.asked = clock, seconds, 0

    def __call__(self) -> int:
        self.asked += 1
        self.clock.seconds += self.seconds
        return self.asked


def test_what_was_dear_is_kept_ten_times_as_long_as_it_took() -> None:
    clock = Clock()
    kept, question = Kept[int](clock), Question(clock, 3)
    answer = kept.answer(question)
    assert (answer.value, answer.kept_seconds, answer.renewed_after(5)) == (1, 30, 30)
    clock.seconds += 29
    assert kept.answer(question).value == 1
    clock.seconds += 1
    assert kept.answer(question).value == 2


def test_what_is_quick_is_asked_each_time() -> None:
    clock = Clock()
    kept, question = Kept[int](clock), Question(clock, 0.1)
    assert [kept.answer(question).value for _ in range(3)] == [1, 2, 3]
    assert kept.answer(question).renewed_after(5) == 5


def test_all_who_ask_at_once_have_one_answer() -> None:
    clock, go_on = Clock(), Event()
    kept, question = Kept[int](clock), Question(clock, 3)

    def slow() -> int:
        go_on.wait(10)
        return question()

    with ThreadPoolExecutor(8) as many:
        answers = [many.submit(lambda: kept.answer(slow).value) for _ in range(8)]
        go_on.set()
        assert {one.result(60) for one in answers} == {1}


def test_a_failure_is_everybodys_for_as_long_as_it_took() -> None:
    clock = Clock()
    kept = Kept[int](clock)

    def failing() -> int:
        clock.seconds += 3
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - that one
        kept.answer(failing)
    clock.seconds += 2
    with pytest.raises(ValueError):  # noqa: PT011 - the same
        kept.answer(Question(clock, 0))
    clock.seconds += 1
    assert kept.answer(Question(clock, 0)).value == 1
