"""The relay's connections: few, in autocommit, and made again when they break."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import ConnectionTimeout

from shared.database import CONNECT_TIMEOUT_SECONDS, describe, driver_url
from shared.log import get_logger

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
STATEMENT_TIMEOUT_MILLISECONDS = 15_000

ANSWER_SECONDS = 20.0
"""Longer than any statement may take: whoever has not answered by then never will.

Something on the way that has lost the server and still acknowledges our bytes, as load balancers do, escapes
keepalives and tcp_user_timeout alike. To cancel it may take psycopg ten seconds more, and before its issue 1371
was mended it took for ever.
"""

# enable_sort: with it, the planner may read and sort the whole backlog for one claim, as long as it believes
# a partition to be as empty as when it was last analysed; the due index gives the order anyway.
# jit: before PostgreSQL 18 a plan that cannot do without a sort is priced so high for it that it gets
# compiled, which took four seconds.
OPTIONS = f"-c statement_timeout={STATEMENT_TIMEOUT_MILLISECONDS} -c timezone=UTC -c enable_sort=off -c jit=off"

log = get_logger("relay.database")
Result = TypeVar("Result")


async def connect(url: str, purpose: str) -> AsyncConnection:
    """Open a connection in autocommit that notices a silent network within half a minute."""
    return await AsyncConnection.connect(
        driver_url(url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name=f"outbox-relay {purpose}",
        options=OPTIONS,
        target_session_attrs="read-write",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
    )


async def answered(work: Callable[[AsyncConnection], Awaitable[Result]], connection: AsyncConnection) -> Result:
    """Return what ``work`` returns; raises psycopg's ConnectionTimeout where that takes too long to come."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await work(connection)
    except TimeoutError as error:
        raise ConnectionTimeout("no answer") from error


class Outage:
    """How long to wait between tries while the database is away, and whether that was said already."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._pause = FIRST_PAUSE_SECONDS
        self.is_on = False

    async def wait(self, error: psycopg.Error) -> None:
        """Say that it began, if this is its beginning, and wait: longer each time."""
        if not self.is_on:
            # Connections come and go; anything else, such as a missing table or grant, needs somebody.
            is_usual = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
            tell = log.warning if is_usual else log.error
            tell("database lost", purpose=self._purpose, **describe(error))
        self.is_on = True
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    def end(self) -> None:
        """Say that it is over, if there was one."""
        if self.is_on:
            log.info("database found again", purpose=self._purpose)
        self.is_on = False
        self._pause = FIRST_PAUSE_SECONDS


class Lifeline:
    """One connection for one purpose, which waits out a lost database."""

    def __init__(self, url: str, purpose: str) -> None:
        self._url = url
        self._purpose = purpose
        self._connection: AsyncConnection | None = None
        self._opening = asyncio.Lock()
        self._outage = Outage(purpose)

    @property
    def is_lost(self) -> bool:
        """Whether the last try failed."""
        return self._outage.is_on

    async def run(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Return what ``work`` returns, trying again for as long as the database is away.

        ``work`` may run more than once, also when its first run was committed and only the answer
        got lost; so it must be a statement of which a second run does no harm. What PostgreSQL cannot
        take as data is raised: no second try would change that.
        """
        while True:
            try:
                result = await answered(work, await self._opened())
            except psycopg.DataError:
                raise
            except psycopg.Error as error:
                # A session can stay unfit for ever, such as one opened while the server was read-only.
                await self.close()
                await self._outage.wait(error)
            else:
                self._outage.end()
                return result

    async def close(self) -> None:
        """Close the connection, if there is one; the next run opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _opened(self) -> AsyncConnection:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._url, self._purpose)
            return self._connection
