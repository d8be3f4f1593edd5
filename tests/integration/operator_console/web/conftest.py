import pytest

from operator_console.web import cache
from tests.support.consoles import ConsoleUnderTest, operators_token, shared_console
from tests.support.databases import Database


@pytest.fixture(autouse=True)
def counts_of_this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep no count, however dear a machine makes it that is busy with other tests."""
    monkeypatch.setattr(cache, "EXPENSIVE_SECONDS", 30)


@pytest.fixture
def console(database: Database) -> ConsoleUnderTest:
    return shared_console(database)


@pytest.fixture
def token(database: Database) -> str:
    return operators_token(database)
