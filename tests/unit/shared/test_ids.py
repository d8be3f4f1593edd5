from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from shared.ids import uuid7, uuid7_at

MOMENTS = st.integers(min_value=0, max_value=(2**48 - 1) * 1_000_000)


@given(MOMENTS, st.binary(min_size=8, max_size=8))
def test_an_id_contains_version_variant_and_millisecond(nanoseconds: int, randomness: bytes) -> None:
    made = uuid7_at(nanoseconds, randomness)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == nanoseconds // 1_000_000


@given(MOMENTS, MOMENTS)
def test_ids_sort_by_time(one: int, other: int) -> None:
    earlier, later = sorted((one, other))
    if later - earlier >= 1000:  # the fraction has 12 bits: steps of 244 ns
        assert uuid7_at(earlier, b"\xff" * 8) < uuid7_at(later, b"\0" * 8)


def test_ids_of_the_same_moment_differ() -> None:
    assert len({uuid7() for _ in range(10_000)}) == 10_000
