import pytest

from tests.support.databases import Database
from tests.support.outbox import Outbox


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)
