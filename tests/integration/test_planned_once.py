"""Connections that repeat statements plan each of them once, even if statements fail in between."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from psycopg import AsyncConnection
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from api_service.services import EXTENSION
from outbox_relay.bootstrap import RelayComponents
from outbox_relay.delivery.poller import COUNT, queue_parameters, queues_of
from shared.db.engine import create_database_engine
from shared.vocabulary import Channel
from tests.support.api import ApiUnderTest
from tests.support.databases import Database
from tests.support.outbox import Outbox
from tests.support.relaying import assembled
from tests.support.relays import relay_environment

MODE = "show plan_cache_mode"
PLANS = "select sum(generic_plans), sum(custom_plans) from pg_prepared_statements where statement = 'select 42'"
OF_A_USER = "select max(created_at) from outbox_messages where user_id = '019aa5c0-0000-7000-8000-000000000001'"
PREPARED = "select count(*) from pg_prepared_statements where statement like 'select 42%'"


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = create_database_engine(database.api_url, application_name="test", pool_size=1, plans_once=True)
    yield engine
    engine.dispose()


def test_the_api_s_connections_plan_once(api: ApiUnderTest) -> None:
    with api.app.extensions[EXTENSION].engine.connect() as connection:
        assert connection.scalar(text(MODE)) == "force_generic_plan"


def test_only_the_relays_permanent_connections_plan_once(outbox: Outbox) -> None:
    environment = relay_environment(outbox.database, EMAIL_PROVIDERS="console:")

    async def modes(parts: RelayComponents) -> list[str]:
        own = parts.connections
        try:
            return [
                await database.once(mode_of)
                for database in (own.claiming, own.settling, own.polling, own.counting, own.falling_back)
            ]
        finally:
            await parts.close()

    assert asyncio.run(modes(assembled(environment))) == 4 * ["force_generic_plan"] + ["auto"]


async def mode_of(connection: AsyncConnection) -> str:
    [(mode,)] = await (await connection.execute(MODE)).fetchall()
    return str(mode)


def test_a_backlog_is_counted_by_the_due_index_with_any_statistics(outbox: Outbox) -> None:
    environment = relay_environment(outbox.database, EMAIL_PROVIDERS="console:")
    outbox.put(count=100)
    outbox.execute("analyze")

    async def plan(parts: RelayComponents) -> list[str]:
        async def explain(connection: AsyncConnection) -> list[str]:
            lanes = queue_parameters(queues_of([Channel.EMAIL]))
            cursor = await connection.execute(f"explain {COUNT}", lanes)
            return [line for (line,) in await cursor.fetchall()]

        try:
            return await parts.connections.counting.once(explain)
        finally:
            await parts.close()

    lines = asyncio.run(plan(assembled(environment)))
    assert [line for line in lines if "_channel_priority_due_at_id_idx" in line]
    assert not [line for line in lines if "Seq Scan" in line]


def commit(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("select 42"))


def refuse(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("select 42"))
        connection.rollback()


@pytest.mark.parametrize("end", [commit, refuse])
def test_a_statement_is_planned_at_its_first_run_only(engine: Engine, end: Callable[[Engine], None]) -> None:
    for _ in range(3):
        end(engine)
    with engine.connect() as connection:
        assert connection.execute(text(PLANS)).one() == (3, 0)


def test_a_plan_survives_the_connection_check(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.db.engine.MAX_IDLE_SECONDS", 0)
    for _ in range(3):
        commit(engine)
    with engine.connect() as connection:
        assert connection.execute(text(PLANS)).one() == (3, 0)


def fail(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("select 42"))
        connection.execute(text("select 42 / :number"), {"number": 0})


def test_failed_statements_leave_no_prepared_statements(engine: Engine) -> None:
    for _ in range(3):
        with pytest.raises(DBAPIError):
            fail(engine)
    with engine.connect() as connection:
        assert connection.scalar(text(PREPARED)) == 0


def test_the_plan_of_the_supersede_function_is_cached(database: Database) -> None:
    with database.connect() as owner:
        owner.execute("set plan_cache_mode = force_generic_plan")
        owner.execute("select signpost_supersede(gen_random_uuid(), gen_random_uuid())")
        plans = owner.execute(
            "select ident from pg_backend_memory_contexts where name = 'CachedPlan' and ident ilike '%superseded%'"
        ).fetchall()
    assert len(plans) == 1


def test_a_plan_made_on_an_empty_table_reads_no_full_table_later(engine: Engine, database: Database) -> None:
    with database.connect() as owner:
        owner.execute("analyze")
    with engine.connect() as connection:
        plan = connection.execute(text(f"explain {OF_A_USER}")).scalars().all()
    assert not [line for line in plan if "Seq Scan" in line]


def test_a_lost_connection_ends_its_transaction(engine: Engine, database: Database) -> None:
    with engine.connect() as connection:
        backend = connection.scalar(text("select pg_backend_pid()"))
        with database.connect() as owner:
            owner.execute("select pg_terminate_backend(%s, 10000)", [backend])
        with pytest.raises(DBAPIError) as failed:
            connection.rollback()
    assert failed.value.connection_invalidated
    commit(engine)
