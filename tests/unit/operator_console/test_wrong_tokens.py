"""The limit on wrong tokens: ten a minute from each client."""

import pytest

from operator_console.web.errors import TooManyWrongTokensError
from operator_console.web.sessions import MAX_WRONG_TOKENS, WINDOW_SECONDS, WrongTokenLimit


class Clock:
    """A clock that stands still until the test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> WrongTokenLimit:
    """Return a limit that one client has reached, with one wrong token each second."""
    limit = WrongTokenLimit(clock)
    for _ in range(MAX_WRONG_TOKENS):
        limit.check("192.0.2.1")
        limit.count("192.0.2.1")
        clock.now += 1
    return limit


def test_the_tenth_wrong_token_blocks_the_client_until_the_first_is_a_minute_old(
    limit: WrongTokenLimit, clock: Clock
) -> None:
    with pytest.raises(TooManyWrongTokensError) as refused:
        limit.check("192.0.2.1")
    assert refused.value.retry_after_seconds == WINDOW_SECONDS - MAX_WRONG_TOKENS

    clock.now += refused.value.retry_after_seconds
    limit.check("192.0.2.1")
    limit.count("192.0.2.1")
    with pytest.raises(TooManyWrongTokensError) as refused:
        limit.check("192.0.2.1")
    assert refused.value.retry_after_seconds == 1


def test_clients_are_counted_separately(limit: WrongTokenLimit) -> None:
    limit.check("192.0.2.2")


def test_clients_without_recent_wrong_tokens_are_forgotten(limit: WrongTokenLimit, clock: Clock) -> None:
    clock.now += WINDOW_SECONDS
    limit.count("192.0.2.2")
    assert list(limit.times) == ["192.0.2.2"]
