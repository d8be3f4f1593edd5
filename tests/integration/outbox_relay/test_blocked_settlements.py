"""Settlements blocked for longer than their leases: the relay does not repeat deliveries it knows of."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.gates import settlements_refused
from tests.support.outbox import Outbox
from tests.support.relaying import relaying, until, until_all_are_settled
from tests.support.smtp_server import SmtpServer

pytestmark = pytest.mark.anyio

ALL_ARE_SENT = "select 1 from outbox_messages having bool_and(status = 'sent')"
END_THE_LEASES = "update outbox_messages set leased_until = now() where status = 'pending'"
ALL_WERE_CLAIMED_AGAIN = "select 1 from outbox_messages where status = 'pending' having min(lost_leases) = 1"


async def test_a_sent_message_settled_after_its_lease_is_not_sent_again(outbox: Outbox) -> None:
    async with SmtpServer() as server:
        async with relaying(outbox, server) as parts:
            await asyncio.to_thread(outbox.put)
            await until(outbox, parts, ALL_ARE_SENT)
            with settlements_refused(outbox.database):
                await asyncio.to_thread(outbox.put, count=3)
                await until_there_are(server, 4, parts.relay.wake)
                outbox.execute(END_THE_LEASES)
                await until(outbox, parts, ALL_WERE_CLAIMED_AGAIN)
            await until_all_are_settled(outbox, parts)
        assert outbox.number("select count(*) from outbox_messages where status = 'sent' and attempt = 1") == 4
        assert len(server.messages) == 4


async def until_there_are(server: SmtpServer, count: int, wake: Callable[[], None]) -> None:
    async with asyncio.timeout(30):
        while len(server.messages) < count:
            wake()
            await asyncio.sleep(0.02)
