"""The statements that a relay repeats: prepared once, and a failed or cancelled one leaves the connection usable."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from outbox_relay.db.connection import RelayConnection, connect
from tests.support.databases import Database
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio

TWICE = "select %(number)s::integer * 2 as twice, %(number)s::integer as number"
LENGTHS = "select length(word) as length from unnest(%(words)s::text[]) as word"
SLEEP = "select pg_sleep(%(seconds)s)"
PREPARED = "select count(*) from pg_prepared_statements"
END = "select pg_terminate_backend(%s, 10000)"
# The session is also active while it prepares the statement. Ended then, it reports no reason to a client that sends.
IS_AT_WORK = "select count(*) from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[RelayConnection]:
    connection = await connect(database.relay_url, "test", plans_once=True)
    yield connection
    await connection.close()


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect() as connection:
        yield connection


async def test_the_fields_of_a_row_have_the_names_of_its_columns(connection: RelayConnection) -> None:
    [row] = await connection.fetch(TWICE, {"number": 21, "unused": "value"})
    assert (row.twice, row.number, row) == (42, 21, (42, 21))


async def test_a_statement_is_prepared_once_for_parameters_of_the_same_types(connection: RelayConnection) -> None:
    before = await number(connection, PREPARED)
    for value in (1, 2, 70_000, 3, 80_000):
        [row] = await connection.fetch(TWICE, {"number": value})
        assert row.twice == 2 * value
    assert await number(connection, PREPARED) - before == len({"int2", "int4"})


@pytest.mark.parametrize(
    ("statement", "parameters", "error"),
    [
        ("select 1 / %(number)s::integer", {"number": 0}, psycopg.errors.DivisionByZero),
        ("select 1 from nowhere where %(number)s = 0", {"number": 0}, psycopg.errors.UndefinedTable),
        (LENGTHS, {"words": ["nul\0"]}, psycopg.DataError),
    ],
)
async def test_after_a_rejected_statement_the_next_one_gets_its_own_rows(
    connection: RelayConnection, statement: str, parameters: dict[str, Any], error: type[psycopg.Error]
) -> None:
    with pytest.raises(error):
        await connection.fetch(statement, parameters)
    [row] = await connection.fetch(TWICE, {"number": 4})
    assert row.twice == 8


async def test_a_cancelled_statement_stops_at_the_server_and_the_next_one_gets_its_own_rows(
    connection: RelayConnection, owner: psycopg.Connection
) -> None:
    async with sleeping(connection, owner) as statement:
        statement.cancel()
        with pytest.raises(asyncio.CancelledError):
            await statement
        assert owner.execute(IS_AT_WORK, [connection.info.backend_pid]).fetchone() == (0,)
        [row] = await connection.fetch(TWICE, {"number": 4})
        assert row.twice == 8


async def test_a_statement_reports_why_the_server_ended_its_session(
    connection: RelayConnection, owner: psycopg.Connection
) -> None:
    async with sleeping(connection, owner) as statement:
        owner.execute(END, [connection.info.backend_pid])
        with pytest.raises(psycopg.errors.AdminShutdown):
            await statement
    assert connection.closed


async def test_concurrent_statements_get_their_own_rows(connection: RelayConnection) -> None:
    statements = [connection.fetch(TWICE, {"number": value}) for value in range(9)]
    results = await asyncio.gather(*statements)
    assert [rows[0].twice for rows in results] == [2 * value for value in range(9)]


@asynccontextmanager
async def sleeping(connection: RelayConnection, owner: psycopg.Connection) -> AsyncIterator[asyncio.Task[list[Any]]]:
    """Run an endless statement, and yield once the server runs it."""
    pid = connection.info.backend_pid
    statement = asyncio.create_task(connection.fetch(SLEEP, {"seconds": 600}))
    await asyncio.to_thread(eventually, lambda: owner.execute(IS_AT_WORK, [pid]).fetchone() == (1,))
    yield statement
    owner.execute(END, [pid])


async def number(connection: RelayConnection, statement: str) -> int:
    [(found,)] = await (await connection.execute(statement, prepare=False)).fetchall()
    return int(found)
