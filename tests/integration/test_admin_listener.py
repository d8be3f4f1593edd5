"""The admin listener reports the state of the database and of the workers, and lets the process fork."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import httpx
import pytest
from gunicorn.config import Config

from api_service.metrics import READY
from api_service.server import ApiWorker
from api_service.use_cases.organizations import held_foundings
from devstack.cluster import Cluster
from migrations import commands
from migrations.revisions import REVISIONS
from shared.web import server
from shared.web.admin import AdminListener, ForkGate
from shared.web.metrics_folder import VARIABLE
from shared.web.server import WorkerProgress
from tests.support.admin import listening
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually

NOWHERE = "postgresql+psycopg://api@127.0.0.1:1/nowhere"


@pytest.fixture(autouse=True)
def metrics_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster, template="template0") as database:
        yield database


def assert_missing(response: httpx.Response, requirement: str) -> None:
    assert (response.status_code, response.json()) == (503, {"status": "not ready", "missing": [requirement]})


def test_a_service_is_ready_with_a_migrated_database(database: Database) -> None:
    with listening(database.api_url) as get:
        assert (get("/readyz").status_code, get("/readyz").json()) == (200, {"status": "ready"})
        assert get("/metrics").is_success
        assert [sample.value for sample in READY.collect()[0].samples] == [1]


def test_a_service_stays_ready_without_a_relay_that_provisions_and_reports_it(database: Database) -> None:
    with listening(database.api_url, held=held_foundings) as get:
        held = {"status": "ready", "held": ["organizations: no relay provisions"]}
        assert (get("/readyz").status_code, get("/readyz").json()) == (200, held)


def test_an_outdated_or_missing_schema_is_reported(empty: Database) -> None:
    with listening(empty.owner_url) as get:
        assert_missing(get("/readyz"), "schema")
    commands.upgrade(empty.owner_url)
    with listening(empty.owner_url, revisions=[*REVISIONS, "9999"]) as get:
        assert_missing(get("/readyz"), "schema")
    with listening(empty.owner_url, revisions=REVISIONS) as get:
        assert get("/readyz").is_success


def test_a_service_works_with_a_newer_schema(database: Database) -> None:
    with database.connect() as owner:
        owner.execute("update alembic_version set version_num = '9999'")
    with listening(database.api_url) as get:
        assert get("/readyz").is_success


def test_a_read_only_database_is_reported_as_missing(database: Database) -> None:
    with database.connect() as owner:
        owner.execute(f'alter database "{database.name}" set default_transaction_read_only = on')
    with listening(database.api_url) as get:
        assert_missing(get("/readyz"), "database")


def test_without_a_database_a_service_is_alive_and_not_ready() -> None:
    with listening(NOWHERE) as get:
        assert get("/livez").is_success
        assert_missing(get("/readyz"), "database")
        assert get("/metrics").is_success
        assert [sample.value for sample in READY.collect()[0].samples] == [0]


def test_a_service_is_alive_while_one_worker_makes_progress() -> None:
    with listening(NOWHERE, heartbeats=[lambda: 0, time.monotonic]) as get:
        assert get("/livez").is_success


def test_a_service_is_not_alive_while_no_worker_makes_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended() -> float:
        raise ValueError("the file of a worker that has ended is closed")

    with listening(NOWHERE, heartbeats=[lambda: 0, ended]) as get:
        assert get("/livez").is_success  # until the time is over, it may still be starting
        monkeypatch.setattr(server, "STUCK_SECONDS", 0)
        assert (get("/livez").status_code, get("/livez").json()) == (503, {"status": "stuck"})


def test_a_taken_port_ends_the_process() -> None:
    with listening(NOWHERE) as get:
        port = int(str(get("/livez").url.port))
        second = AdminListener("api", ("127.0.0.1", port), NOWHERE, REVISIONS, READY)
        with pytest.raises(SystemExit) as ended:
            second.start(SimpleNamespace(progress=WorkerProgress({})))
    assert ended.value.code == 1


def test_a_fork_waits_until_no_thread_is_inside_the_gate() -> None:
    gate, order = ForkGate(), []

    def fork() -> None:
        gate.before_fork()
        order.append("forked")
        gate.after_fork()

    forking = Thread(target=fork)
    with gate.enter(), gate.enter():
        forking.start()
        order.append("inside")
    forking.join(20)
    assert order == ["inside", "forked"]
    with gate.enter():  # the gate is open again
        pass


def test_a_waiting_fork_goes_before_threads_that_come_later() -> None:
    gate, order = ForkGate(), []

    def fork() -> None:
        gate.before_fork()
        order.append("forked")
        gate.after_fork()

    def pass_through() -> None:
        with gate.enter():
            order.append("came later")

    forking = Thread(target=fork)
    with ExitStack() as first:
        first.enter_context(gate.enter())
        forking.start()
        late = eventually(lambda: still_running(pass_through))
        order.clear()  # threads that came before the fork waited
    forking.join(20)
    late.join(20)
    assert order == ["forked", "came later"]


def still_running(work: Callable[[], None]) -> Thread | None:
    """Start the work in a thread, and return the thread if it waits for something."""
    thread = Thread(target=work)
    thread.start()
    thread.join(0.5)
    return thread if thread.is_alive() else None


def test_the_heartbeat_of_a_starting_worker_is_its_start() -> None:
    before = time.monotonic()
    worker = ApiWorker(1, os.getpid(), [], None, 45, Config(), None)
    assert before <= worker.tmp.last_update() <= time.monotonic()
    worker.tmp.close()
