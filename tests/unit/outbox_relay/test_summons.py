"""A lane looks at what is fresh alone only where it was called for nothing else."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from outbox_relay.summons import Summons

fresh, any_ = Summons.for_fresh, Summons.for_any


@pytest.mark.parametrize(
    ("calls", "is_fresh_alone"),
    [([], False), ([fresh], True), ([fresh, fresh], True), ([fresh, any_], False), ([any_, fresh], False)],
)
def test_only_calls_for_what_is_fresh_are_for_that_alone(
    calls: list[Callable[[Summons], None]], *, is_fresh_alone: bool
) -> None:
    summons = Summons()
    for call in calls:
        call(summons)
    assert summons.take() is is_fresh_alone


def test_calls_are_taken_once() -> None:
    async def take_twice() -> None:
        summons = Summons()
        summons.for_any()
        await summons.come()
        summons.take()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(summons.come(), timeout=0.01)
        summons.for_fresh()
        await summons.come()
        assert summons.take()

    asyncio.run(take_twice())


def test_an_alarm_calls_for_whatever_is_due() -> None:
    async def wait() -> bool:
        summons = Summons()
        summons.for_fresh()
        summons.for_any_after(timedelta(0))
        await asyncio.sleep(0.05)
        return summons.take()

    assert asyncio.run(wait()) is False
