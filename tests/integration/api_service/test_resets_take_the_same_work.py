"""Whoever asks for a reset learns nothing from how long the answer takes: what has to be done is counted.

Counts are the same on every machine and whatever else it does, where times would have to be told from chance.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import event

from api_service.errors import InvalidOrExpiredError
from api_service.services import EXTENSION, Services
from api_service.use_cases.reset_password import DUMMY_WORK_ROWS, NewPassword, ask_for_reset, token_of_reset
from api_service.use_cases.users import Address
from shared.vocabulary import Channel, Locale
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest

KNOWN, UNKNOWN = "known{}@example.org", "unknown{}@example.org"
ASKED = 5
"""Times for each kind: the first prepare and compile what the others use again."""
AT_MOST = {"asking": 4, "confirming": 0}
"""Calls of some thousand by which they may differ: a holder's id is written out for the database, nobody's is not."""

USERS = """
insert into users (id, status, email, email_canonical, email_verified_at, activated_at, password_hash, locale)
select gen_random_uuid(), 'active', name, name, now(), now(), 'x', 'en'
  from (select 'known' || number || '@example.org' as name from generate_series(1, %s) as number) as names
"""

Ask = Callable[[Services, str], None]


def asking(services: Services, email: str) -> None:
    address = Address(Channel.EMAIL, email)
    with services.sessions.begin() as session:
        ask_for_reset(session, address, Locale.EN, keys=services.keys, policy=services.account_policy)


def confirming(services: Services, email: str) -> None:
    # No password is hashed for a wrong code.
    new = NewPassword(Address(Channel.EMAIL, email), WRONG_CODE, PASSWORD)
    with pytest.raises(InvalidOrExpiredError):
        token_of_reset(services.sessions, services.keys, services.limiter, new)


@pytest.fixture
def services(own_api: ApiUnderTest) -> Services:
    """Return the services of an API with users to ask about; its one connection has prepared what is asked again."""
    own_api.rows(USERS, ASKED)
    services: Services = own_api.app.extensions[EXTENSION]
    return services


@pytest.fixture
def _no_garbage_is_collected() -> Iterator[None]:
    """Keep what others have left from being cleared up amid what is counted."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_garbage_is_collected")
def test_a_reset_calls_as_much_for_an_account_as_for_nobody(services: Services) -> None:
    for ask in (asking, confirming):  # the second tries the codes that the first has had sent
        known, unknown = (fewest_calls(ask, services, kind) for kind in (KNOWN, UNKNOWN))
        assert known > 1_000, ask.__name__
        assert abs(known - unknown) <= AT_MOST[ask.__name__], ask.__name__


def test_the_database_counts_for_nobody_as_long_as_it_takes_to_lock_a_holder(services: Services) -> None:
    assert [counted_by_the_database(services, kind.format(1)) for kind in (KNOWN, UNKNOWN)] == [0, DUMMY_WORK_ROWS]


def fewest_calls(ask: Ask, services: Services, kind: str) -> int:
    return min(calls_of(ask, services, kind.format(number)) for number in range(1, ASKED + 1))


def calls_of(ask: Ask, services: Services, email: str) -> int:
    """Ask, and return how many functions were called for it, those written in C included."""
    calls = 0

    def count(_frame: FrameType, what: str, _about: Any) -> None:
        nonlocal calls
        calls += what in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        ask(services, email)
    finally:
        sys.setprofile(before)
    return calls


def counted_by_the_database(services: Services, email: str) -> int:
    """Ask, and return how far the database counted meanwhile."""
    counted = 0

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        nonlocal counted
        if "generate_series" in statement and not statement.startswith("explain"):
            [(found,)] = connection.exec_driver_sql(f"explain (analyze, format json) {statement}", parameters)
            counted += sum(map(counted_in, found))

    event.listen(services.engine, "before_cursor_execute", explain)
    try:
        asking(services, email)
    finally:
        event.remove(services.engine, "before_cursor_execute", explain)
    return counted


def counted_in(plan: dict[str, Any]) -> int:
    """Return how many numbers a part of a plan, and the parts below it, have generated."""
    node = plan.get("Plan", plan)
    own = node["Actual Rows"] * node["Actual Loops"] if node.get("Function Name") == "generate_series" else 0
    return int(own) + sum(map(counted_in, node.get("Plans", [])))
