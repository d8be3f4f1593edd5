from collections.abc import Iterator

import pytest

from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import Database


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with api_on(database) as api:
        yield api
