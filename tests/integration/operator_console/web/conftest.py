import pytest

from operator_console.web import cache
from tests.support.consoles import ConsoleUnderTest, operators_token, shared_console
from tests.support.databases import Database


@pytest.fixture(autouse=True)
def uncached_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache no count, however slow a busy machine makes it."""
    monkeypatch.setattr(cache, "EXPENSIVE_SECONDS", 30)


@pytest.fixture
def console(database: Database) -> ConsoleUnderTest:
    return shared_console(database)


@pytest.fixture
def token(database: Database) -> str:
    return operators_token(database)
