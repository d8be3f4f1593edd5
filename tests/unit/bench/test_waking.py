import pytest

from bench.waking import cost


def test_what_waking_costs_is_told_by_the_rounds_before_and_after_it() -> None:
    assert cost(950, 1000, 1000) == pytest.approx(5)


def test_a_machine_that_grows_slower_is_not_laid_at_the_waking() -> None:
    assert cost(900, 1000, 800) == pytest.approx(0)
