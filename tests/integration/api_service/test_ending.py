import time
from types import SimpleNamespace

from api_service.server import end_work
from api_service.services import EXTENSION, Services
from tests.support.api import ApiUnderTest
from tests.support.eventually import eventually

OWN = (
    "select application_name from pg_stat_activity"
    " where application_name like 'signpost-api%' and datname = current_database()"
)


def test_a_worker_that_ends_lets_go_of_the_database(api: ApiUnderTest) -> None:
    parts: Services = api.app.extensions[EXTENSION]
    api.registered()  # which wakes the relays
    parts.settled.start()
    eventually(lambda: parts.settled.bells.is_fed and len(api.rows(OWN)) == 3)

    began = time.monotonic()
    end_work(None, SimpleNamespace(wsgi=api.app))

    assert time.monotonic() - began < 2
    eventually(lambda: api.rows(OWN) == [])


def test_one_that_never_had_an_app_has_nothing_to_let_go_of() -> None:
    end_work(None, SimpleNamespace(wsgi=None))
