import random
from collections.abc import Iterator

import pytest

from tests.support.conservation import Ledger
from tests.support.databases import Database
from tests.support.fleet import seeded
from tests.support.mail_sink import MailSink, mail_sink
from tests.support.outbox import Outbox


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with mail_sink() as sink:
        yield sink


@pytest.fixture
def dice() -> random.Random:
    return seeded()
