"""DatabaseConnections that lose answers, so that nobody hears whether what was asked was done, and one that is late."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection

from outbox_relay.db.connection import ReconnectingConnection

Result = TypeVar("Result")
Work = Callable[[AsyncConnection], Awaitable[Result]]


class DeafConnection(ReconnectingConnection):
    """Does what it is asked, loses the answer, and asks again once ``meanwhile`` has happened."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    async def run(self, work: Work[Result]) -> Result:
        await super().run(work)
        await asyncio.to_thread(self.meanwhile)
        return await super().run(work)


class ForgetfulConnection(DeafConnection):
    """Likewise, but what was done the first time is rolled back."""

    async def run(self, work: Work[Result]) -> Result:
        async def undone(connection: AsyncConnection) -> None:
            async with connection.transaction():
                await work(connection)
                raise psycopg.Rollback

        await ReconnectingConnection.run(self, undone)
        await asyncio.to_thread(self.meanwhile)
        return await ReconnectingConnection.run(self, work)


class SlowConnection(ReconnectingConnection):
    """Asks in a transaction that has stood open for a while, as behind a pooler that is slow to begin."""

    asked_at: datetime

    async def run(self, work: Work[Result]) -> Result:
        async def late(connection: AsyncConnection) -> Result:
            async with connection.transaction():
                row = await (await connection.execute("select clock_timestamp()")).fetchone()
                assert row
                [self.asked_at] = row
                return await work(connection)

        return await super().run(late)
