from collections.abc import Iterator

import pytest

from tests.support.databases import Database
from tests.support.mail_sink import MailSink, mail_sink
from tests.support.outbox import Outbox


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with mail_sink() as sink:
        yield sink
