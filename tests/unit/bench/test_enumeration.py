import random

import pytest

from bench.enumeration import CHANCE, distance, distance_by_chance


@pytest.mark.parametrize(
    ("some", "others", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 1, 2], [1, 2, 2], 1 / 3),
        ([1, 2], [3, 4], 1),
        ([1, 3], [2, 4], 1 / 2),
        ([1], [1, 1, 1, 2], 1 / 4),
    ],
)
def test_the_distance_is_the_largest_difference_of_the_distributions(
    some: list[float], others: list[float], expected: float
) -> None:
    assert distance(some, others) == pytest.approx(expected)
    assert distance(others, some) == pytest.approx(expected)


@pytest.mark.parametrize("size", [15, 30, 400])
def test_a_shift_counts_as_a_difference_and_samples_of_one_distribution_do_not(size: int) -> None:
    source = random.Random(1)
    times, others = ([source.gauss(10, 1) for _ in range(size)] for _ in range(2))

    assert distance(times, others) < distance_by_chance(size) < 1
    assert distance(times, [time + 5 for time in others]) > distance_by_chance(size)
    assert CHANCE <= 1e-4
