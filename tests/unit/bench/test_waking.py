import pytest

from bench.waking import Turn, cost


def test_what_waking_costs_is_told_by_the_turn_beside_it() -> None:
    assert cost(950, 1000) == pytest.approx(5)


def test_a_turn_counts_what_was_committed_in_it() -> None:
    moments = [0.99, 1.0, 1.2, 1.49, 1.5]

    assert Turn(1.0, 1.5).rate(moments) == pytest.approx(3 / 0.5)
