"""What a session runs over and over, it is asked for without a cursor, and whatever happens, no answer is another's."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from outbox_relay.db.connection import RelayConnection, connect
from outbox_relay.db.prepared import StatementResult
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.forwarding import forwarding
from tests.support.freezing import frozen

pytestmark = pytest.mark.anyio

TWICE = "select %(number)s::integer * 2 as twice, %(number)s::integer as number"
SUM = "select sum(length(word))::bigint as length, count(*)::bigint as words from unnest(%(words)s::text[]) as word"
LONG_WORDS = "select repeat('x', %(length)s) as word from generate_series(1, 8)"
SLEEP = "select pg_sleep(%(seconds)s)"
PREPARED = "select count(*) from pg_prepared_statements"
END = "select pg_terminate_backend(%s, 10000)"
POSTMASTER = "select split_part(pg_read_file('postmaster.pid'), chr(10), 1)::integer"
IS_AT_WORK = "select count(*) from pg_stat_activity where pid = %s and state = 'active'"
A_MEGABYTE = "x" * 1024**2


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[RelayConnection]:
    connection = await connect(database.relay_url, "test", plans_once=True)
    yield connection
    await connection.close()


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect() as connection:
        yield connection


async def test_a_row_s_fields_have_the_columns_names(connection: RelayConnection) -> None:
    [row] = (await connection.execute_prepared(TWICE, {"number": 21, "nobody": "asked"})).rows
    assert (row.twice, row.number, row) == (42, 21, (42, 21))


async def test_what_writes_tells_how_many(connection: RelayConnection) -> None:
    await connection.execute("create temporary table words as select 'a' as word from generate_series(1, 3)")
    answer = await connection.execute_prepared("update words set word = %(word)s", {"word": "100 %"})
    assert answer == ([], 3)


async def test_a_statement_is_prepared_once_for_parameters_of_the_same_types(connection: RelayConnection) -> None:
    before = await number(connection, PREPARED)
    for value in (1, 2, 70_000, 3, 80_000):
        [row] = (await connection.execute_prepared(TWICE, {"number": value})).rows
        assert row.twice == 2 * value
    assert await number(connection, PREPARED) - before == len({"int2", "int4"})


async def test_more_than_the_socket_takes_at_once_arrives_whole(connection: RelayConnection) -> None:
    [row] = (await connection.execute_prepared(SUM, {"words": [A_MEGABYTE] * 24})).rows
    assert row == (24 * len(A_MEGABYTE), 24)


async def test_more_than_one_read_brings_comes_back_whole(connection: RelayConnection) -> None:
    answer = await connection.execute_prepared(LONG_WORDS, {"length": 2**20})
    assert {len(row.word) for row in answer.rows} == {2**20}
    assert len(answer.rows) == 8


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("select 1 / %(number)s::integer", psycopg.errors.DivisionByZero),
        ("select nothing from nowhere where %(number)s = 0", psycopg.errors.UndefinedTable),
    ],
)
async def test_what_the_server_refuses_is_raised_as_psycopg_does_and_the_next_is_answered(
    connection: RelayConnection, statement: str, error: type[psycopg.Error]
) -> None:
    with pytest.raises(error):
        await connection.execute_prepared(statement, {"number": 0})
    [row] = (await connection.execute_prepared(TWICE, {"number": 4})).rows
    assert row.twice == 8


async def test_what_cannot_be_sent_is_raised_as_psycopg_does_and_the_next_is_answered(
    connection: RelayConnection,
) -> None:
    with pytest.raises(psycopg.DataError):
        await connection.execute_prepared(SUM, {"words": ["nul\0"]})
    [row] = (await connection.execute_prepared(TWICE, {"number": 4})).rows
    assert row.twice == 8


async def test_psycopg_s_own_ways_work_in_between(connection: RelayConnection) -> None:
    for value in range(3):
        assert (await connection.execute_prepared(TWICE, {"number": value})).rows == [(2 * value, value)]
        assert await number(connection, "select 7") == 7


async def test_who_breaks_off_stops_the_server_and_ends_the_connection(
    connection: RelayConnection, owner: psycopg.Connection
) -> None:
    pid = connection.info.backend_pid
    async with sleeping(connection, owner) as asking:
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert connection.closed
    await asyncio.to_thread(eventually, lambda: owner.execute(IS_AT_WORK, [pid]).fetchone() == (0,))


async def test_who_breaks_off_is_let_go_though_the_server_does_not_hear_of_it(
    connection: RelayConnection, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox_relay.db.prepared.CANCEL_SECONDS", 0.2)
    [(postmaster,)] = owner.execute(POSTMASTER).fetchall()
    async with sleeping(connection, owner) as asking:
        with frozen(postmaster):
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
    assert connection.closed


async def test_a_session_that_is_ended_meanwhile_says_why(
    connection: RelayConnection, owner: psycopg.Connection
) -> None:
    pid = connection.info.backend_pid
    async with sleeping(connection, owner) as asking:
        owner.execute(END, [pid])
        with pytest.raises(psycopg.errors.AdminShutdown):
            await asking
    await asyncio.to_thread(eventually, lambda: connection.closed)


async def test_a_session_that_is_ended_while_nothing_is_asked_is_known_to_be(
    connection: RelayConnection, owner: psycopg.Connection
) -> None:
    await connection.execute_prepared(TWICE, {"number": 1})
    loop, number_of_socket = asyncio.get_running_loop(), connection.pgconn.socket
    owner.execute(END, [connection.info.backend_pid])
    await asyncio.to_thread(eventually, lambda: connection.closed)
    assert not loop.remove_reader(number_of_socket), "who reads from a closed socket is woken for ever"


async def test_who_asks_over_a_connection_that_is_closed_meanwhile_is_told(
    connection: RelayConnection, owner: psycopg.Connection
) -> None:
    async with sleeping(connection, owner) as asking:
        await connection.close()
        with pytest.raises(psycopg.OperationalError):
            await asking


async def test_a_way_that_is_cut_before_all_is_sent_is_lost(database: Database) -> None:
    with forwarding(0, to=database.cluster.port) as road:
        url = database.cluster.tcp_url(database.name, "relay", road.port)
        connection = await connect(url, "test", plans_once=True)
        await connection.execute_prepared(SUM, {"words": ["short"]})
        with frozen(connection.info.backend_pid):
            asking = asyncio.create_task(connection.execute_prepared(SUM, {"words": [A_MEGABYTE] * 64}))
            await until_the_socket_is_full(connection)
            for near, _ in road.pairs:
                near.shutdown(socket.SHUT_WR)
            with pytest.raises(psycopg.OperationalError):
                await asking
        assert connection.closed


async def test_two_who_ask_at_once_are_answered_in_turn(connection: RelayConnection) -> None:
    asked = [connection.execute_prepared(TWICE, {"number": value}) for value in range(9)]
    *answers, seven = await asyncio.gather(*asked, number(connection, "select 7"))
    assert ([answer.rows[0].twice for answer in answers], seven) == ([2 * value for value in range(9)], 7)


@asynccontextmanager
async def sleeping(
    connection: RelayConnection, owner: psycopg.Connection
) -> AsyncIterator[asyncio.Task[StatementResult]]:
    """Have the connection ask for what takes for ever, once the server is at it; it is over at the end in any case."""
    pid = connection.info.backend_pid
    asking = asyncio.create_task(connection.execute_prepared(SLEEP, {"seconds": 600}))
    await asyncio.to_thread(eventually, lambda: owner.execute(IS_AT_WORK, [pid]).fetchone() == (1,))
    yield asking
    owner.execute(END, [pid])


async def until_the_socket_is_full(connection: RelayConnection) -> None:
    async with asyncio.timeout(30):
        while not connection.pgconn.flush():  # noqa: ASYNC110 - libpq has no event for it
            await asyncio.sleep(0)


async def number(connection: RelayConnection, statement: str) -> int:
    [(found,)] = await (await connection.execute(statement, prepare=False)).fetchall()
    return int(found)
