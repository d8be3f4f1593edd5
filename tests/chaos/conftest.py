import random

import pytest

from tests.support.conservation import Ledger
from tests.support.databases import Database
from tests.support.relay_group import seeded


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def jitter() -> random.Random:
    return seeded()
