"""Database connections with faults: a lost reply, a rollback without notice, and a slow start."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection

from outbox_relay.db.connection import ReconnectingConnection

Result = TypeVar("Result")
Work = Callable[[AsyncConnection], Awaitable[Result]]


class LostReplyConnection(ReconnectingConnection):
    """Runs the work and loses the reply. Runs it again after ``between_runs``."""

    between_runs: Callable[[], object] = staticmethod(lambda: None)

    async def run(self, work: Work[Result]) -> Result:
        await super().run(work)
        await asyncio.to_thread(self.between_runs)
        return await super().run(work)


class LostTransactionConnection(LostReplyConnection):
    """Like `LostReplyConnection`, but the first run is rolled back."""

    async def run(self, work: Work[Result]) -> Result:
        async def rolled_back(connection: AsyncConnection) -> None:
            async with connection.transaction():
                await work(connection)
                raise psycopg.Rollback

        await ReconnectingConnection.run(self, rolled_back)
        await asyncio.to_thread(self.between_runs)
        return await ReconnectingConnection.run(self, work)


class SlowConnection(ReconnectingConnection):
    """Runs the work in a transaction that opened earlier, as behind a slow pooler."""

    opened_at: datetime

    async def run(self, work: Work[Result]) -> Result:
        async def late(connection: AsyncConnection) -> Result:
            async with connection.transaction():
                row = await (await connection.execute("select clock_timestamp()")).fetchone()
                assert row
                [self.opened_at] = row
                return await work(connection)

        return await super().run(late)
