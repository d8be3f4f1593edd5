"""Whether two samples are of one distribution (Kolmogorov and Smirnov). Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain
from math import log, sqrt

CHANCE = 0.001
"""With which two samples of the same distribution are taken for different ones."""


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest distance between the two empirical distribution functions."""
    first, second = sorted(one), sorted(other)
    return max(
        abs(bisect_right(first, value) / len(first) - bisect_right(second, value) / len(second))
        for value in chain(first, second)
    )


def critical_distance(samples: int) -> float:
    """Return the distance that two samples of that size and the same distribution exceed with CHANCE only."""
    return sqrt(-log(CHANCE / 2) / samples)
