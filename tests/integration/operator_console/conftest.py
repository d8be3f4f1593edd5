from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.support.databases import Database
from tests.support.operators import console_of


@pytest.fixture
def console(database: Database) -> Iterator[sessionmaker[Session]]:
    with console_of(database) as sessions:
        yield sessions
