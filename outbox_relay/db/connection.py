"""The relay's connections to PostgreSQL: few, in autocommit, and reopened when they break."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from datetime import datetime
from json import JSONDecoder
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import ConnectionTimeout
from psycopg.rows import TupleRow, namedtuple_row
from psycopg.types.json import set_json_loads

from outbox_relay.failures.network import LONGEST_ERROR
from shared.db.connection_settings import (
    CONNECT_TIMEOUT_SECONDS,
    GENERIC_PLANS,
    KEEPALIVES,
    SET_IN_OWN_SESSION,
    UTF8,
    driver_url,
    own_session_parameters,
    set_in_transaction,
)
from shared.db.errors import Outage
from shared.db.timeouts import RESPONSE_TIMEOUT_SECONDS
from shared.log import get_logger


@asynccontextmanager
async def database_timeout(seconds: float | None = None) -> AsyncIterator[None]:
    """Raise psycopg's ConnectionTimeout if the statements in the block get no response within ``seconds``.

    The default is RESPONSE_TIMEOUT_SECONDS. psycopg cancels the statement first, which may take ten seconds more.
    """
    try:
        async with asyncio.timeout(RESPONSE_TIMEOUT_SECONDS if seconds is None else seconds):
            yield
    except TimeoutError as error:
        raise ConnectionTimeout("no response") from error


STATEMENT_TIMEOUT_MILLISECONDS = 15_000

# - enable_sort is off: otherwise, if the statistics of a partition are from a time when it was nearly empty, the
#   planner may read and sort the whole backlog for one claim. The due index already has the right order.
# - jit is off: with enable_sort off, PostgreSQL before 18 assigns a very high cost to a plan that needs a sort. That
#   cost triggers JIT compilation, which took four seconds.
# - max_parallel_workers_per_gather is 0: parallel workers would be used only to count a large backlog. They would take
#   CPU time from its delivery.
SETTINGS = {
    "statement_timeout": str(STATEMENT_TIMEOUT_MILLISECONDS),
    "enable_sort": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}

_JSON = JSONDecoder()

log = get_logger("relay.database")
Result = TypeVar("Result")


class RelayConnection(AsyncConnection[TupleRow]):
    """A connection that knows whether it has its own server session, or gets one from a pooler for each transaction."""

    has_own_session = True

    async def fetch(self, statement: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows, with the columns as fields."""
        async with self.cursor(binary=True, row_factory=namedtuple_row) as cursor:
            await cursor.execute(statement, parameters)
            return await cursor.fetchall()


async def connect(url: str, purpose: str, *, plans_once: bool = False) -> RelayConnection:
    """Open a connection in autocommit that notices a silent network within half a minute."""
    connection = await RelayConnection.connect(
        driver_url(url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name=f"outbox-relay {purpose}",
        target_session_attrs="read-write",
        **KEEPALIVES,
        **UTF8,
    )
    set_json_loads(read_json, connection)
    try:
        await _apply_settings(connection, plans_once=plans_once)
    except BaseException:
        await connection.close()
        raise
    return connection


def read_json(data: str | bytes) -> Any:
    """Parse JSON from PostgreSQL. The encoding is known, so this takes half the time of ``json.loads``.

    If Python cannot parse the JSON, because it is too deep or a number is too long, the value becomes None. So the
    error affects only this row.
    """
    try:
        return _JSON.raw_decode(data if isinstance(data, str) else data.decode())[0]
    except (RecursionError, ValueError):
        return None


def storable(text: str | None) -> str | None:
    """Remove NUL and lone surrogates, which PostgreSQL rejects, and cut the text to LONGEST_ERROR."""
    return text and text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:LONGEST_ERROR]


async def _apply_settings(connection: RelayConnection, *, plans_once: bool) -> None:
    settings = SETTINGS | GENERIC_PLANS if plans_once else SETTINGS
    parameters = own_session_parameters(settings, connection.info.backend_pid)
    async with database_timeout():
        cursor = await connection.execute(SET_IN_OWN_SESSION, parameters, prepare=False)
    if cursor.rowcount == 0:
        connection.has_own_session = False
        connection.prepare_threshold = None  # the next transaction may run in another session
    elif plans_once:
        connection.prepare_threshold = 0


def under_settings(connection: RelayConnection) -> AbstractAsyncContextManager[None]:
    """Apply SETTINGS and a timeout to the statements in the block. Behind a pooler, the block is one transaction."""
    return database_timeout() if connection.has_own_session else _transaction_under_settings(connection)


@asynccontextmanager
async def _transaction_under_settings(connection: RelayConnection) -> AsyncIterator[None]:
    async with database_timeout(), connection.transaction():
        await connection.execute(set_in_transaction(SETTINGS))
        yield


class ReconnectingConnection:
    """A connection for one purpose that waits for a lost database; ``plans_once`` sets GENERIC_PLANS."""

    def __init__(self, url: str, purpose: str, *, plans_once: bool = False) -> None:
        self._url = url
        self._purpose = purpose
        self._plans_once = plans_once
        self._connection: RelayConnection | None = None
        self._lock = asyncio.Lock()
        self._outage = Outage(log, purpose)
        self._pause = 0.0
        self.failures = 0

    @property
    def is_lost(self) -> bool:
        """Whether the last try failed."""
        return self._outage.is_on

    @property
    def lost_since(self) -> datetime | None:
        """The time of the first failure after the last success, or None if the last try succeeded."""
        return self._outage.since

    async def run(self, work: Callable[[RelayConnection], Awaitable[Result]]) -> Result:
        """Return what ``work`` returns, trying again while the database is unreachable.

        ``work`` must be idempotent, because it may run again after a run that was committed but whose response was
        lost. A DataError is raised without another try, because PostgreSQL would reject the same data again.
        """
        while True:
            try:
                return await self.once(work)
            except psycopg.DataError:
                raise
            except psycopg.Error:
                await asyncio.sleep(self._pause)

    async def once(
        self, work: Callable[[RelayConnection], Awaitable[Result]], *, within: float | None = None
    ) -> Result:
        """Run ``work`` once; raise if the database is unreachable, or does not respond ``within`` seconds."""
        try:
            async with database_timeout(within) if within else nullcontext():
                result = await self._try(work)
        except psycopg.DataError:
            raise
        except psycopg.Error as error:
            self.failures += 1
            self._pause = self._outage.failed(error)
            raise
        self._outage.end()
        return result

    async def try_quietly(self, work: Callable[[RelayConnection], Awaitable[object]]) -> None:
        """Connect and run ``work`` once in advance, so that the first real use does not wait for the connection.

        Ignore failures.
        """
        with suppress(psycopg.Error):
            await self._try(work)

    async def close(self) -> None:
        """Close the connection, if there is one; the next run opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _try(self, work: Callable[[RelayConnection], Awaitable[Result]]) -> Result:
        # Only one run at a time: behind a pooler, each run is one transaction, which must not contain statements of
        # another run.
        async with self._lock:
            try:
                connection = await self._opened()
                async with under_settings(connection):
                    return await work(connection)
            except psycopg.DataError:
                raise
            except psycopg.Error:
                # Close the connection, because its session may stay unusable, for example if it was opened while the
                # server was read-only.
                await self.close()
                raise

    async def _opened(self) -> RelayConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._url, self._purpose, plans_once=self._plans_once)
        return self._connection
