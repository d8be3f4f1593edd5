"""The relay notifies listeners of the messages that it has settled, whatever happens to connections."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from structlog.testing import capture_logs

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import Dead, Outcome, Sent
from outbox_relay.outbox.settle import SettlementStore
from outbox_relay.outbox.settled_notifier import IDS_A_NOTIFICATION, SettledNotifier
from shared.db.connection_settings import driver_url
from shared.vocabulary import SETTLED_CHANNEL, DeadReason
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.gates import logins_refused
from tests.support.outbox import Outbox
from tests.support.settling import a_batcher

END = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
 where application_name = %s and datname = current_database()
"""


@pytest.mark.parametrize("outcome", [Sent("mail", "1"), Dead(DeadReason.REJECTED, None)], ids=["sent", "dead"])
def test_a_message_is_notified_when_it_has_settled(outbox: Outbox, outcome: Outcome) -> None:
    outbox.put()
    [message] = outbox.claim(1)

    async def settle() -> None:
        url = outbox.database.relay_url
        notifier, connection = SettledNotifier(url), ReconnectingConnection(url, "test")
        batcher = a_batcher(SettlementStore(connection), notifier)
        batcher.put(message, outcome)
        await batcher.flush()
        await notifier.close()
        await connection.close()

    with listening(outbox.database) as connection:
        asyncio.run(settle())
        [notification] = connection.notifies(timeout=60, stop_after=1)
    assert UUID(notification.payload) == message.id


def test_all_that_has_settled_is_told_also_more_than_fits_one_notification(database: Database) -> None:
    ids = [uuid4() for _ in range(2 * IDS_A_NOTIFICATION + 1)]

    async def tell() -> None:
        notifier = SettledNotifier(database.relay_url)
        notifier.notify(ids[:1])
        notifier.notify(ids[1:])
        await notifier.close()

    with listening(database) as connection:
        asyncio.run(tell())
        told = [notify.payload.split(",") for notify in connection.notifies(timeout=60, stop_after=3)]
    assert {UUID(word) for payload in told for word in payload} == set(ids)


def test_a_relay_that_was_cut_off_tells_what_settles_later(database: Database) -> None:
    first, last = uuid4(), uuid4()

    async def tell_through_a_cut() -> None:
        notifier = SettledNotifier(database.relay_url)
        notifier.notify([first])
        await asyncio.to_thread(eventually, lambda: received(first))
        with database.connect() as owner:
            owner.execute(END, ["outbox-relay tell"])

        def told_again() -> bool:
            loop.call_soon_threadsafe(notifier.notify, [last])
            return received(last)

        await asyncio.to_thread(eventually, told_again)
        await notifier.close()

    def received(message_id: UUID) -> bool:
        seen.extend(notify.payload for notify in connection.notifies(timeout=0.05))
        return any(message_id.hex in payload for payload in seen)

    seen: list[str] = []
    with listening(database) as connection, asyncio.Runner() as runner:
        loop = runner.get_loop()
        runner.run(tell_through_a_cut())


def test_a_relay_says_that_the_database_is_there_again_though_it_has_nothing_to_tell(database: Database) -> None:
    async def tell_through_an_outage() -> None:
        notifier = SettledNotifier(database.relay_url)
        with logins_refused(database):
            notifier.notify([uuid4()])
            await asyncio.to_thread(eventually, lambda: "database lost" in said())
        await asyncio.to_thread(eventually, lambda: "database found again" in said())
        await notifier.close()

    def said() -> list[str]:
        return [line["event"] for line in logged]

    with capture_logs() as logged:
        asyncio.run(tell_through_an_outage())
    assert said() == ["database lost", "database found again"]


def listening(database: Database) -> psycopg.Connection[Any]:
    connection = psycopg.connect(driver_url(database.owner_url), autocommit=True)
    connection.execute(f"listen {SETTLED_CHANNEL}")
    return connection
