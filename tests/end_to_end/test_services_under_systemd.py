"""API and console under systemd: the watchdog is notified only while workers make progress."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.support.consoles import running_console
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.freezing import frozen
from tests.support.processes import Running, running_api
from tests.support.service_manager import Supervisor, supervisor

pytestmark = pytest.mark.slow

ALIVE = "WATCHDOG=1"
# A worker notifies its parent process once a second.
SOON_STUCK = "from shared.web import server; server.STUCK_SECONDS = 3; from {} import main; main(['serve'])"
STARTS: list[tuple[Callable[..., AbstractContextManager[Running]], str]] = [
    (running_api, "api_service.cli"),
    (running_console, "operator_console.web.cli"),
]


@pytest.fixture
def manager() -> Iterator[Supervisor]:
    with supervisor() as listening:
        yield listening


@pytest.mark.parametrize(("start", "module"), STARTS, ids=["api", "console"])
def test_the_watchdog_is_notified_only_while_workers_make_progress(
    start: Callable[..., AbstractContextManager[Running]], module: str, database: Database, manager: Supervisor
) -> None:
    command = ("python", "-c", SOON_STUCK.format(module))
    # The time limit is an hour. A notification must not wait for half of it, because the watchdog may be about to fire.
    environment = manager.environment(ping_microseconds=1_800_000_000)
    with start(database, command=command, **environment) as service:
        manager.wait_for("READY=1")
        manager.wait_for(ALIVE, count=2)
        manager.wait_for("STATUS=Serving")
        [worker] = service.children()
        with frozen(worker):
            eventually(lambda: [line for line in service.log_lines() if line["event"] == "workers stuck"])
            manager.wait_for("STATUS=No worker makes progress")
            before = manager.notifications.count(ALIVE)
        manager.wait_for(ALIVE, count=before + 1)
        assert len([line for line in service.log_lines() if line["event"] == "workers stuck"]) == 1


def test_a_blocked_parent_process_does_not_notify_the_watchdog(database: Database, manager: Supervisor) -> None:
    blocked = (
        "import threading; from gunicorn.arbiter import Arbiter; Arbiter.murder_workers = "
        "lambda self: threading.Event().wait(); from api_service.cli import main; main(['serve'])"
    )
    with running_api(database, command=("python", "-c", blocked), **manager.environment()) as api:
        manager.wait_for(ALIVE)  # before the loop is blocked
        assert api.admin("/livez").is_success
        assert api.responds()
        assert manager.notifications.count(ALIVE) == 1
