"""Whoever asks for a reset learns nothing from how long the answer takes: over a thousand addresses of each kind.

The largest distance of the two distributions is compared with what chance allows (Kolmogorov and Smirnov).
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import chain
from math import log, sqrt

import pytest

from api_service.errors import InvalidOrExpiredError
from api_service.services import EXTENSION, Services
from api_service.use_cases.addresses import Address
from api_service.use_cases.reset_password import NewPassword, ask_for_reset, token_of_reset
from shared.vocabulary import Channel, Locale
from tests.support.api import PASSWORD, WRONG_CODE, api_on
from tests.support.databases import Database

SAMPLES = 1_000
CHANCE = 0.001
WARM_UP = 50

USERS = """
insert into users (id, status, email, email_canonical, email_verified_at, activated_at, password_hash, locale)
select gen_random_uuid(), 'active', name, name, now(), now(), 'x', 'en'
  from (select 'known' || number || '@example.org' as name from generate_series(1, %s) as number) as names
"""

Ask = Callable[[Services, str], None]


def asking(services: Services, email: str) -> None:
    address = Address(Channel.EMAIL, email)
    with services.sessions.begin() as session:
        ask_for_reset(session, address, Locale.EN, keys=services.keys, terms=services.account_terms)


def confirming(services: Services, email: str) -> None:
    # The password is hashed before and in any case: what could differ comes after.
    new = NewPassword(Address(Channel.EMAIL, email), WRONG_CODE, PASSWORD, password_hash="x")
    with pytest.raises(InvalidOrExpiredError):
        token_of_reset(services.sessions, services.keys, services.limiter, new)


def test_how_long_a_reset_takes_does_not_tell_whether_there_is_an_account(database: Database) -> None:
    with api_on(database) as api:
        api.rows(USERS, SAMPLES + WARM_UP)
        for ask in (asking, confirming):
            known, unknown = durations(api.app.extensions[EXTENSION], ask)
            assert distance(known, unknown) < critical_distance(SAMPLES), ask.__name__


def durations(services: Services, ask: Ask) -> tuple[list[float], list[float]]:
    """Ask for each of both kinds in turn, and return how many seconds each took; the first ones do not count."""
    kinds: dict[str, list[float]] = {"known": [], "unknown": []}
    # Alternately first and second, so that neither kind profits from the other.
    for number in range(1, SAMPLES + WARM_UP + 1):
        for kind in sorted(kinds, reverse=number % 2 == 0):
            begun = time.perf_counter()
            ask(services, f"{kind}{number}@example.org")
            kinds[kind].append(time.perf_counter() - begun)
    return kinds["known"][WARM_UP:], kinds["unknown"][WARM_UP:]


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest distance between the two empirical distribution functions."""
    first, second = sorted(one), sorted(other)
    return max(
        abs(bisect_right(first, value) / len(first) - bisect_right(second, value) / len(second))
        for value in chain(first, second)
    )


def critical_distance(samples: int) -> float:
    """Return the distance that two samples of the same distribution exceed by that small a chance."""
    return sqrt(-log(CHANCE / 2) / 2) * sqrt(2 / samples)


def test_two_distributions_that_differ_are_told_apart() -> None:
    even = [number / SAMPLES for number in range(SAMPLES)]
    assert distance(even, even) == 0
    assert distance(even, [value + 0.1 for value in even]) > critical_distance(SAMPLES)
