"""Receipts over SMPP, with a relay process, an SMSC on a socket and PostgreSQL."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.callbacks import reports
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.relays import running_relay
from tests.support.smsc import BIND_TRANSCEIVER, TEMPORARY, Smsc, receipt

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

OK = 0


def provider(smsc: Smsc) -> dict[str, str]:
    url = f"smpp://us:pw@127.0.0.1:{smsc.port}?from=Signpost&tls=none&receipts=yes&connections=1"
    return {"SMS_PROVIDERS": url}


async def sent_id(outbox: Outbox) -> str:
    """Wait until all messages are sent, and return the provider's id of one."""
    await asyncio.to_thread(eventually, outbox.is_all_sent)
    [(message_id,), *_] = outbox.execute("select provider_message_id from outbox_messages")
    return str(message_id)


async def test_a_receipt_is_stored_with_the_id_of_its_message(outbox: Outbox) -> None:
    outbox.put(channel="sms", recipient="'+33612345678'")
    async with Smsc(id_of=lambda number: f"AB{number:06}") as smsc:
        with running_relay(outbox.database, **provider(smsc)):
            message_id = await sent_id(outbox)
            # This SMSC writes its ids in decimal in receipts.
            assert await smsc.deliver(receipt(str(0xAB000001), "UNDELIV", "001")) == OK
            assert await smsc.deliver(receipt("AB000001", "UNDELIV", "001")) == OK
    assert smsc.submitted[0].registered_delivery == 1
    [(provider_name,)] = outbox.execute("select provider from outbox_messages")
    assert reports(outbox.database, "provider, provider_message_id, kind, cause, source") == [
        (provider_name, message_id, "bounced", "recipient", "smpp")
    ]


async def test_a_relay_without_messages_binds_and_takes_receipts_of_another(database: Database) -> None:
    async with Smsc() as smsc:
        with running_relay(database, **provider(smsc)):
            await smsc.wait_for(smsc.has_bind)
            assert await smsc.deliver(receipt("id-of-another")) == OK
    assert smsc.roles == [BIND_TRANSCEIVER]
    assert reports(database, "provider_message_id, kind") == [("id-of-another", "delivered")]


async def test_a_relay_that_lost_its_bind_binds_again_for_receipts(database: Database) -> None:
    async with Smsc() as smsc:
        with running_relay(database, **provider(smsc)):
            await smsc.wait_for(smsc.has_bind)
            smsc.has_bind.clear()
            assert smsc.peer
            smsc.peer.close()
            await smsc.wait_for(smsc.has_bind)
            assert await smsc.deliver(receipt("id-1")) == OK
    assert len(reports(database)) == 1


async def test_duplicates_and_disorder_change_nothing(database: Database) -> None:
    bodies = [receipt(f"id-{number % 20}", ("DELIVRD", "UNDELIV")[number % 2]) for number in range(40)]
    async with Smsc() as smsc:
        with running_relay(database, **provider(smsc)):
            await smsc.wait_for(smsc.has_bind)
            for order in (bodies, bodies[::-1]):
                assert set(await asyncio.gather(*map(smsc.deliver, order))) == {OK}
    assert len(reports(database)) == 20


async def test_no_acknowledged_receipt_is_lost_when_the_database_is_away(database: Database) -> None:
    async with Smsc() as smsc:
        with running_relay(database, **provider(smsc)) as relay:
            await smsc.wait_for(smsc.has_bind)
            assert await smsc.deliver(receipt("id-1")) == OK
            with no_connections(database):
                assert await smsc.deliver(receipt("id-2")) == TEMPORARY
            async with asyncio.timeout(30):
                while await smsc.deliver(receipt("id-2")) == TEMPORARY:
                    pass  # the SMSC sends it again
            assert relay.process.poll() is None
    assert sorted(reports(database, "provider_message_id")) == [("id-1",), ("id-2",)]


@contextmanager
def no_connections(database: Database) -> Iterator[None]:
    """End the relay's connections, and refuse new ones."""
    with database.connect() as owner:
        owner.execute("alter role relay connection limit 0")
        try:
            owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
            yield
        finally:
            owner.execute("alter role relay connection limit -1")
