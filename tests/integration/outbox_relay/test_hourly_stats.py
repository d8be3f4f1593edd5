"""Hourly counts, written separately from the settlements."""

import asyncio

import pytest

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.outbox.hourly_stats import HOURLY_STATS, add_to_hours
from shared.vocabulary import CHANNELS
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox
from tests.support.relaying import relaying, until_all_are_settled
from tests.support.smtp_server import SmtpServer

pytestmark = pytest.mark.anyio

COUNTS = "select channel, status, messages from hourly_stats order by 1, 2"
TOTAL = "select coalesce(sum(messages), 0) from hourly_stats"
YESTERDAYS = "update hourly_stats set hour = hour - interval '32 days'"


@pytest.fixture(autouse=True)
def nothing_counted_before() -> None:
    HOURLY_STATS.take()


async def test_sent_and_dead_messages_are_counted_and_shown(outbox: Outbox) -> None:
    outbox.put(count=3)
    outbox.put(count=2, expires_at="now() - interval '1 h'")
    async with SmtpServer() as server, relaying(outbox, server) as parts:
        await until_all_are_settled(outbox, parts)
        # The relay counts an outcome after its commit, so rows may be settled a moment before.
        async with asyncio.timeout(60):
            while outbox.number(TOTAL) < 5:
                await parts.poller.write_hourly_stats()
                await asyncio.sleep(0.01)  # a poll does not wait if there are no counts
    assert outbox.execute(COUNTS) == [("email", "dead", 2), ("email", "sent", 3)]
    [stats] = lines_of(outboxctl(outbox.database, "status", "--json"))
    assert len(stats["hours"]) == 24 * len(CHANNELS)
    assert [(hour["sent"], hour["dead"]) for hour in stats["hours"] if hour["channel"] == "email"][-1] == (3, 2)
    assert stats["dead"] == 2


async def test_relays_add_to_the_same_counts_and_old_hours_are_deleted(outbox: Outbox) -> None:
    database = ReconnectingConnection(outbox.database.relay_url, "test")
    await database.once(lambda connection: add_to_hours({("sms", "sent"): 5}, connection))
    outbox.execute(YESTERDAYS)
    for count in (2, 3):
        await database.once(lambda connection, count=count: add_to_hours({("email", "sent"): count}, connection))
    await database.close()
    assert outbox.execute(COUNTS) == [("email", "sent", 5)]


async def test_counts_that_cannot_be_written_are_written_later(outbox: Outbox) -> None:
    HOURLY_STATS.add({("email", "sent"): 4})
    async with SmtpServer() as server, relaying(outbox, server) as parts:
        outbox.execute("alter table hourly_stats rename to away")
        await parts.poller.write_hourly_stats()
        outbox.execute("alter table away rename to hourly_stats")
        await parts.poller.write_hourly_stats()
    assert outbox.execute(COUNTS) == [("email", "sent", 4)]
