"""PgBouncer in transaction mode between the services and the database."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from migrations import commands
from outbox_relay.db.connection import ReconnectingConnection
from shared.db.connection_settings import driver_url
from shared.db.engine import create_database_engine
from shared.db.migrating import PoolerError
from shared.secrets import code_for
from tests.support import plain_http
from tests.support.eventually import eventually
from tests.support.forwarding import forwarding, unused_port
from tests.support.keys import KEY
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.pgbouncer import Pooler, pgbouncer
from tests.support.processes import HASTY_API, RunningApi, running_api
from tests.support.relays import WITH_SHORT_TIMEOUTS, RunningRelay, running_relay

SHOWN = ("enable_sort", "jit", "statement_timeout", "TimeZone", "search_path", "client_encoding")
SHOW = f"select {', '.join(f'current_setting({name!r})' for name in SHOWN)}"
PLAN_CACHE = "show plan_cache_mode"
OURS = ("off", "off", "15s", "UTC", "public", "UTF8")
OTHERS = {"datestyle": "SQL, DMY", "client_encoding": "LATIN1", "search_path": "nowhere"}
LISTENERS = "select count(*) from pg_stat_activity where query like 'listen %' and usename = 'relay'"


@pytest.fixture
def pooler(outbox: Outbox) -> Iterator[Pooler]:
    with pgbouncer(outbox.database) as pooler:
        yield pooler


def test_registration_works_through_pgbouncer_and_wake_signals_bypass_it(
    pooler: Pooler, outbox: Outbox, sink: MailSink
) -> None:
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_POLL_SECONDS": "300"}
    past_it = {"DATABASE_URL": pooler.url("relay"), "LISTEN_DATABASE_URL": outbox.database.relay_url}
    with (
        running_relay(outbox.database, **settings, **past_it) as relay,
        running_api(outbox.database, command=HASTY_API, DATABASE_URL=pooler.url("api")) as api,
    ):
        relay.wait_until_ready()
        eventually(lambda: outbox.number(LISTENERS) == 1)
        ids = [register(api, f"ada{number}@example.org") for number in range(12)]
        eventually(outbox.is_all_sent)
        assert (len(sink.arrived), sink.arrived.total()) == (len(ids), len(ids))
        assert {activate(api, outbox, registration_id) for registration_id in ids} == {200}
        assert_no_errors_logged(relay, api)
        assert relay.logged("relay polls only") == []


def test_settings_on_a_database_have_no_effect_through_pgbouncer(outbox: Outbox, sink: MailSink) -> None:
    for login in ("api", "relay"):
        for name, value in OTHERS.items():
            outbox.execute(f"alter role {login} in database {outbox.database.name} set {name} = '{value}'")
    with (
        pgbouncer(outbox.database) as pooler,
        running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, DATABASE_URL=pooler.url("relay")) as relay,
        running_api(outbox.database, command=HASTY_API, DATABASE_URL=pooler.url("api"), RATE_LIMITS="on") as api,
    ):
        ids = [register(api, f"ada{number}@example.org") for number in range(5)]
        eventually(outbox.is_all_sent)
        assert {activate(api, outbox, registration_id) for registration_id in ids} == {200}
        assert_no_errors_logged(relay, api)


def test_without_a_direct_connection_the_relay_polls_and_logs_so_once(
    pooler: Pooler, outbox: Outbox, sink: MailSink
) -> None:
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_POLL_SECONDS": "1", "RELAY_BATCH_SIZE": "10"}
    with running_relay(outbox.database, **settings, DATABASE_URL=pooler.url("relay")) as relay:
        eventually(lambda: relay.logged("relay polls only"))
        for _ in range(3):  # more often than psycopg runs a statement before preparing it
            outbox.put(count=30)
            eventually(outbox.is_all_sent)
        assert_no_errors_logged(relay)
        assert len(relay.logged("relay polls only")) == 1
    assert sink.arrived.total() == 90


def test_services_wait_for_a_server_that_stops_behind_pgbouncer(outbox: Outbox, sink: MailSink) -> None:
    port = unused_port()
    settings = {"EMAIL_PROVIDERS": sink.provider}
    with ExitStack() as network:
        network.enter_context(forwarding(port, to=outbox.database.cluster.port))
        with (
            pgbouncer(outbox.database, server_port=port) as pooler,
            running_relay(
                outbox.database, command=WITH_SHORT_TIMEOUTS, DATABASE_URL=pooler.url("relay"), **settings
            ) as relay,
        ):
            relay.wait_until_ready()
            network.close()
            outbox.put(count=30)
            eventually(lambda: relay.logged("database lost"))
            network.enter_context(forwarding(port, to=outbox.database.cluster.port))
            eventually(outbox.is_all_sent)
            relay.wait_until_ready()
    assert sink.arrived.total() == 30


def register(api: RunningApi, email: str) -> str:
    response = plain_http.post(
        f"{api.base_url}/v1/registrations", json={"email": email, "password": "four quiet words here"}
    )
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def activate(api: RunningApi, outbox: Outbox, registration_id: str) -> int:
    [(token_id,)] = outbox.execute("select id from tokens where user_id = %s", registration_id)
    body = {"registration_id": registration_id, "code": code_for(token_id, KEY)}
    return plain_http.post(f"{api.base_url}/v1/activations", json=body).status_code


def assert_no_errors_logged(*services: RunningRelay | RunningApi) -> None:
    for service in services:
        assert [line for line in service.log_lines() if line["level"] in ("warning", "error")] == [
            line for line in service.log_lines() if line["event"] == "relay polls only"
        ]


def over_a_connection(url: str, statement: str, *, plans_once: bool = False) -> list[tuple[Any, ...]]:
    async def work(connection: AsyncConnection) -> list[tuple[Any, ...]]:
        return await (await connection.execute(statement)).fetchall()

    async def run() -> list[tuple[Any, ...]]:
        database = ReconnectingConnection(url, "test", plans_once=plans_once)
        try:
            return await database.run(work)
        finally:
            await database.close()

    return asyncio.run(run())


@pytest.mark.parametrize("is_pooled", [True, False], ids=["through it", "direct"])
def test_the_relays_statements_run_with_the_settings_that_their_plans_need(
    *, pooler: Pooler, outbox: Outbox, is_pooled: bool
) -> None:
    assert over_a_connection(pooler.url("relay") if is_pooled else outbox.database.relay_url, SHOW) == [OURS]


def test_one_clients_settings_do_not_leak_to_the_next(pooler: Pooler) -> None:
    over_a_connection(pooler.url("relay"), SHOW)
    engine = create_database_engine(pooler.url("relay"), application_name="test", pool_size=1)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("show idle_in_transaction_session_timeout").scalar() == "30s"
    engine.dispose()
    with psycopg.connect(driver_url(pooler.url("relay"))) as connection:
        # PgBouncer reuses the sessions used last first.
        assert connection.execute("show enable_sort").fetchone() == ("on",)
        assert connection.execute("show idle_in_transaction_session_timeout").fetchone() == ("0",)


def test_no_generic_plan_is_used_in_a_shared_session(pooler: Pooler) -> None:
    assert over_a_connection(pooler.url("relay"), PLAN_CACHE, plans_once=True) == [("auto",)]
    engine = create_database_engine(pooler.url("api"), application_name="test", pool_size=1, plans_once=True)
    with engine.connect() as connection:
        assert connection.exec_driver_sql(PLAN_CACHE).scalar() == "auto"
        assert connection.exec_driver_sql("select count(*) from pg_prepared_statements").scalar() == 0
    engine.dispose()


def test_migrating_through_pgbouncer_fails_and_leaves_no_lock(pooler: Pooler, outbox: Outbox) -> None:
    with pytest.raises(PoolerError):
        commands.upgrade(pooler.url("api"))
    assert outbox.number("select count(*) from pg_locks where locktype = 'advisory'") == 0
