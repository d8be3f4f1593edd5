"""A killed API leaves all three rows of a registration, or none."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from devstack.cluster import Cluster
from tests.support.api import PASSWORD, counted
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.processes import RunningApi, running_api

NONE, ALL = (0, 0, 0), (1, 1, 1)
GATE = 42

BEFORE_INSERT = "create trigger gate before insert on {table} for each row execute function wait_at_gate()"
AT_COMMIT = (
    "create constraint trigger gate after insert on users deferrable initially deferred"
    " for each row execute function wait_at_gate()"
)
POINTS = {
    "at the user": BEFORE_INSERT.format(table="users"),
    "at the token": BEFORE_INSERT.format(table="tokens"),
    "at the message": BEFORE_INSERT.format(table="outbox_messages"),
    "at the commit": AT_COMMIT,
}

# The registrations that wait in the trigger, and all of them, as the database sees them.
AT_GATE = "select count(*) from pg_stat_activity where wait_event = 'advisory' and application_name = 'signpost-api'"
CONNECTED = (
    "select count(*) from pg_stat_activity where application_name = 'signpost-api' and datname = current_database()"
)


@pytest.fixture(scope="module")
def lasting(cluster: Cluster) -> Iterator[tuple[RunningApi, Database]]:
    """Yield an API that outlives its workers, and its database."""
    with fresh_database(cluster) as database, running_api(database) as api:
        yield api, database


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_worker_leaves_all_rows_or_none(lasting: tuple[RunningApi, Database], point: str) -> None:
    api, database = lasting
    before = counted(database)
    with database.connect() as owner, registering(api) as register:
        with gate(owner, POINTS[point]):
            response = register()
            eventually(lambda: number(owner, AT_GATE) == 1)
            [worker] = api.children()
            os.kill(worker, signal.SIGKILL)
            assert isinstance(response.exception(timeout=10), httpx.TransportError)
        eventually(lambda: number(owner, CONNECTED) == 0)

        # The database finishes a commit that has started.
        now = counted(database)
        written = tuple(after - count for after, count in zip(now, before, strict=True))
        assert written == (ALL if point == "at the commit" else NONE)
        eventually(api.responds)
        assert register().result(60).status_code == 202


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_request_finishes_when_the_parent_is_killed(database: Database, point: str) -> None:
    with running_api(database) as api, database.connect() as owner, registering(api) as register:
        with gate(owner, POINTS[point]):
            response = register()
            eventually(lambda: number(owner, AT_GATE) == 1)
            api.process.kill()
            api.process.wait()
        assert response.result(60).status_code == 202
        eventually(lambda: number(owner, CONNECTED) == 0)
        assert counted(database) == ALL


def test_a_kill_between_commit_and_response_leaves_all_rows(database: Database) -> None:
    with running_api(database) as api, registering(api, prefer="wait=20") as register:
        response = register()
        eventually(lambda: counted(database) == ALL)
        os.killpg(api.pid, signal.SIGKILL)
        assert isinstance(response.exception(timeout=10), httpx.TransportError)
        assert counted(database) == ALL


@contextmanager
def gate(owner: "psycopg.Connection[Any]", trigger: str) -> Iterator[None]:
    """Make every registration wait in the trigger until the block ends."""
    owner.execute("drop function if exists wait_at_gate cascade")  # also drops an earlier trigger
    owner.execute(
        "create function wait_at_gate() returns trigger language plpgsql as"
        f" $$ begin perform pg_advisory_xact_lock_shared({GATE}); return new; end $$"
    )
    owner.execute(trigger)
    owner.execute("select pg_advisory_lock(%s)", [GATE])
    yield
    owner.execute("select pg_advisory_unlock(%s)", [GATE])


@contextmanager
def registering(api: RunningApi, *, prefer: str = "") -> Iterator[Any]:
    """Yield a function that registers from another thread and returns the future response."""
    body = {"email": "ada@example.org", "password": PASSWORD}
    with ThreadPoolExecutor(2) as clients:

        def register() -> "Future[httpx.Response]":
            url = f"{api.base_url}/v1/registrations"
            return clients.submit(httpx.post, url, json=body, headers={"Prefer": prefer}, timeout=30)

        yield register


def number(owner: "psycopg.Connection[Any]", query: str) -> int:
    [(count,)] = owner.execute(query).fetchall()
    return int(count)
