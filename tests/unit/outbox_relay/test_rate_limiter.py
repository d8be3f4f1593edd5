import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_relay.model import Rate, parse_rate
from outbox_relay.providers.rate_limiter import PermitCache

FOURTEEN = Rate(14, "s")


@pytest.mark.parametrize(("text", "per_second"), [("14/s", 14.0), ("90/m", 1.5), ("1800/h", 0.5)])
def test_a_rate_is_a_count_per_unit_of_time(text: str, per_second: float) -> None:
    assert parse_rate(text).per_second == per_second
    assert str(parse_rate(text)) == text


@pytest.mark.parametrize("text", ["", "14", "0/s", "-1/s", "1.5/s", "14/d", "14/s ", "٣/s", "9999999/s"])
def test_an_invalid_rate_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        parse_rate(text)


def test_without_a_rate_no_permit_is_needed() -> None:
    permits = PermitCache(None, now=0.0)
    assert permits.affordable(500, now=0.0) == 500
    assert not permits.is_wanting(now=0.0)


def test_missing_permits_are_requested_at_once_and_granted_ones_spent() -> None:
    permits = PermitCache(FOURTEEN, now=0.0)
    assert permits.affordable(10, now=0.0) == 0
    assert permits.is_wanting(now=0.0)
    assert permits.empty(now=0.0) == (10, 0)
    permits.fill(granted=10, wanted=10, token_in=0.0, now=0.0)
    for _ in range(10):
        assert permits.affordable(1, now=0.0) == 1
        permits.spend(now=0.0)
    assert permits.affordable(1, now=0.0) == 0


def test_an_exhausted_rate_is_not_requested_for_each_token() -> None:
    permits = PermitCache(FOURTEEN, now=0.0)
    permits.fill(granted=0, wanted=10, token_in=0.07, now=0.0)
    permits.affordable(10, now=0.2)
    assert not permits.is_wanting(now=0.2)
    permits.affordable(10, now=0.25)
    assert permits.is_wanting(now=0.25)


def test_new_permits_are_not_returned_during_a_request() -> None:
    permits = PermitCache(FOURTEEN, now=0.0)
    permits.affordable(1, now=0.0)
    assert permits.empty(now=0.0) == (1, 0)
    assert permits.affordable(1, now=0.01) == 0  # while a request for permits is pending
    permits.fill(granted=1, wanted=1, token_in=0.0, now=0.02)
    assert not permits.is_wanting(now=0.02)
    assert permits.affordable(1, now=0.02) == 1


def test_a_permit_cache_is_short_only_while_it_is_needed() -> None:
    permits = PermitCache(FOURTEEN, now=0.0)
    assert not permits.is_short(0.0, window=30)
    permits.fill(granted=2, wanted=500, token_in=0.0, now=10.0)
    assert not permits.is_short(10.0, window=30)
    permits.spend(now=10.0)
    assert not permits.is_short(10.0, window=30)
    permits.spend(now=11.0)
    assert permits.is_short(40.0, window=30)
    assert not permits.is_short(41.5, window=30)
    permits.fill(granted=0, wanted=1, token_in=3600.0, now=100.0)
    assert permits.is_short(3000.0, window=30)


def test_unused_permits_return_to_the_other_relays() -> None:
    permits = PermitCache(FOURTEEN, now=0.0)
    permits.fill(granted=10, wanted=10, token_in=0.0, now=0.0)
    assert not permits.has_leftovers(now=0.9)
    assert permits.has_leftovers(now=1.0)
    assert permits.empty(now=1.0) == (0, 10)
    assert permits.affordable(1, now=1.0) == 0


@given(
    st.builds(Rate, st.integers(1, 1000), st.sampled_from("smh")),
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 500)), max_size=100),
)
def test_a_single_relay_never_exceeds_its_rate(rate: Rate, draws: list[tuple[float, int]]) -> None:
    permits, now, spent = PermitCache(rate, now=0.0), 0.0, 0
    for passing, wanted in draws:
        now += passing
        permits.fill_alone(wanted, now)
        while permits.tokens:
            permits.spend(now)
            spent += 1
        assert spent <= rate.burst + rate.per_second * now + 1e-6
