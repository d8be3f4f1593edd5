import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from api_service.outbox_signals.wake_relays import Notifier
from shared.web.server import close_app
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import Database
from tests.support.eventually import eventually

OWN = (
    "select application_name from pg_stat_activity"
    " where application_name like 'signpost-api%' and datname = current_database()"
)


@pytest.fixture
def api(new_database: Database) -> Iterator[ApiUnderTest]:
    with api_on(new_database) as api:
        yield api


def test_a_worker_that_exits_closes_its_connections(api: ApiUnderTest) -> None:
    others = threads_of_an_app()
    api.registered()  # starts the notifier
    eventually(lambda: len(api.rows(OWN)) == 2)

    close_app(None, SimpleNamespace(wsgi=api.app))

    assert threads_of_an_app() <= others  # no thread was left behind
    eventually(lambda: api.rows(OWN) == [])


def threads_of_an_app() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == Notifier.name}


def test_a_worker_without_an_app_closes_nothing() -> None:
    close_app(None, SimpleNamespace(wsgi=None))
