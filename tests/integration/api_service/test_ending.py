import threading
from types import SimpleNamespace

from api_service.notifier import Notifier
from api_service.server import end_work
from api_service.services import EXTENSION, Services
from api_service.settled import SettledListener
from tests.support.api import ApiUnderTest
from tests.support.eventually import eventually

OWN = (
    "select application_name from pg_stat_activity"
    " where application_name like 'signpost-api%' and datname = current_database()"
)


def test_a_worker_that_ends_lets_go_of_the_database(own_api: ApiUnderTest) -> None:
    api, others = own_api, threads_of_an_app()
    parts: Services = api.app.extensions[EXTENSION]
    api.registered()  # which wakes the relays
    parts.settled.start()
    eventually(lambda: parts.settled.bells.is_fed and len(api.rows(OWN)) == 3)

    end_work(None, SimpleNamespace(wsgi=api.app))

    assert threads_of_an_app() <= others  # none had to be given up
    eventually(lambda: api.rows(OWN) == [])


def threads_of_an_app() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name in (Notifier.name, SettledListener.name)}


def test_one_that_never_had_an_app_has_nothing_to_let_go_of() -> None:
    end_work(None, SimpleNamespace(wsgi=None))
