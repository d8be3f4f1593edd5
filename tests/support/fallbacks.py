"""Search for due fallbacks once, at a moment that the test chooses."""

import asyncio

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.delivery.fallback import Fallbacks
from outbox_relay.model import Budgets, Scope
from tests.support.api import ApiUnderTest
from tests.support.databases import Database
from tests.support.keys import KEY


def budgets_of(total: int, per_prefix: int, per_number: int) -> Budgets:
    return {Scope.TOTAL: total, Scope.PREFIX: per_prefix, Scope.NUMBER: per_number}


AMPLE = budgets_of(total=1000, per_prefix=1000, per_number=1000)


def fall_back(database: Database, budgets: Budgets = AMPLE, *, relays: int = 1) -> int:
    """Let that many relays search at once, and return the number of messages that fell back."""

    async def run() -> int:
        connections = [ReconnectingConnection(database.relay_url, "test") for _ in range(relays)]
        try:
            looks = [Fallbacks(connection, budgets, KEY).take_due() for connection in connections]
            return sum(await asyncio.gather(*looks))
        finally:
            for connection in connections:
                await connection.close()

    return asyncio.run(run())


def make_overdue(api: ApiUnderTest) -> None:
    """Move the messages' fallback deadlines into the past."""
    api.rows("update outbox_messages set fallback_at = now() - interval '1 second' where fallback_at is not null")
