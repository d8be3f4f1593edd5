from collections.abc import Iterator

import pytest

from tests.support.consoles import ConsoleUnderTest, console_on, operators_token
from tests.support.databases import Database


@pytest.fixture
def console(database: Database) -> Iterator[ConsoleUnderTest]:
    with console_on(database) as console:
        yield console


@pytest.fixture
def token(database: Database) -> str:
    return operators_token(database)
