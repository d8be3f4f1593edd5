"""ClaimStore and settles messages as a relay does, without the rest of the relay."""

from datetime import timedelta

from psycopg import AsyncConnection

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import ClaimedMessage, QueueKey, Sent, Settlement
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.settle import SettlementStore
from shared.vocabulary import Channel, Priority

QUEUE = QueueKey(Channel.EMAIL, Priority.HIGH)
SENT = Sent("smtp:mail.example.org:587", "2.0.0 Ok: queued as 4XyZ1234")


class OutboxClient:
    """One connection that claims and settles e-mails of high priority."""

    def __init__(self, relay_url: str) -> None:
        self._connection = ReconnectingConnection(relay_url, "bench", plans_once=True)
        self._claims = ClaimStore(self._connection, timedelta(minutes=1))
        self._settles = SettlementStore(self._connection)

    async def claim(self, count: int) -> list[ClaimedMessage]:
        """Claim exactly this many messages. Raises RuntimeError if there are fewer."""
        messages = await self._claims.claim(QUEUE, count)
        if len(messages) != count:
            raise RuntimeError(f"{len(messages)} instead of {count} messages were claimed")
        return list(messages)

    async def settle(self, messages: list[ClaimedMessage]) -> None:
        """Settle the messages as sent."""
        await self._settles.settle([Settlement(message, SENT) for message in messages])

    async def close(self) -> None:
        """Flush this session's statistics, which PostgreSQL would delay, and disconnect."""
        await self._connection.run(_flush_statistics)
        await self._connection.close()


async def _flush_statistics(connection: AsyncConnection) -> None:
    await connection.execute("select pg_stat_force_next_flush()")
