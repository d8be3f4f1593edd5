"""Whoever asks for a reset learns nothing from how long the answer takes: over a thousand addresses of each kind.

They come in any order. In turns, whatever else comes at each second or fourth request would always meet the same kind.
The largest distance of the two distributions is compared with what chance allows (Kolmogorov and Smirnov).
"""

import random
import time
from collections.abc import Callable

import pytest

from api_service.errors import InvalidOrExpiredError
from api_service.services import EXTENSION, Services
from api_service.use_cases.addresses import Address
from api_service.use_cases.reset_password import NewPassword, ask_for_reset, token_of_reset
from bench.distances import critical_distance, distance
from shared.vocabulary import Channel, Locale
from tests.support.api import PASSWORD, WRONG_CODE, api_on
from tests.support.databases import Database

SAMPLES = 1_000
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
    # Both have been asked for: each has a code to be tried. No password is hashed for a wrong one.
    new = NewPassword(Address(Channel.EMAIL, email), WRONG_CODE, PASSWORD)
    with pytest.raises(InvalidOrExpiredError):
        token_of_reset(services.sessions, services.keys, services.limiter, new)


def test_how_long_a_reset_takes_does_not_tell_whether_there_is_an_account(
    database: Database, dice: random.Random
) -> None:
    with api_on(database) as api:
        api.rows(USERS, SAMPLES + WARM_UP)
        for ask in (asking, confirming):
            known, unknown = durations(api.app.extensions[EXTENSION], ask, dice)
            assert distance(known, unknown) < critical_distance(SAMPLES), ask.__name__


def durations(services: Services, ask: Ask, dice: random.Random) -> tuple[list[float], list[float]]:
    """Ask for both kinds, and return how many seconds each took; the first ones do not count."""
    kinds: dict[str, list[float]] = {"known": [], "unknown": []}
    for number in range(1, SAMPLES + WARM_UP + 1):
        for kind in dice.sample(sorted(kinds), len(kinds)):
            begun = time.perf_counter()
            ask(services, f"{kind}{number}@example.org")
            kinds[kind].append(time.perf_counter() - begun)
    return kinds["known"][WARM_UP:], kinds["unknown"][WARM_UP:]
