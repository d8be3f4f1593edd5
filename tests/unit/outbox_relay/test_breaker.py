import pytest

from outbox_relay.breaker import Breaker


def test_a_provider_that_answers_may_have_all() -> None:
    assert Breaker().allowance(now=0.0, limit=500) == 500


def test_one_failure_closes_the_way_and_then_one_letter_goes_ahead() -> None:
    breaker = Breaker()
    breaker.failed(now=100.0, dice=0.0)
    assert breaker.allowance(now=100.9, limit=500) == 0
    assert breaker.allowance(now=101.0, limit=500) == 1


def test_an_answer_opens_the_way_for_all() -> None:
    breaker = Breaker()
    breaker.failed(now=100.0, dice=0.0)
    breaker.succeeded()
    assert breaker.allowance(now=100.0, limit=500) == 500


@pytest.mark.parametrize(("failures", "pause"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 30.0), (100, 30.0)])
def test_each_failure_in_a_row_doubles_the_pause_up_to_half_a_minute(failures: int, pause: float) -> None:
    breaker, now = Breaker(), 0.0
    for _ in range(failures):
        now = breaker.open_until
        breaker.failed(now, dice=0.0)
    assert breaker.open_until - now == pytest.approx(pause)


def test_letters_that_were_on_their_way_when_it_opened_count_once() -> None:
    breaker = Breaker()
    for _ in range(8):
        breaker.failed(now=100.0, dice=0.0)
    assert breaker.failures == 1


def test_the_dice_shorten_a_pause_by_half_at_most() -> None:
    breaker = Breaker()
    breaker.failed(now=0.0, dice=0.999)
    assert 0.5 <= breaker.open_until <= 0.51
