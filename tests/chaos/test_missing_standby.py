"""A synchronous standby goes away: the primary commits but cannot confirm."""

import asyncio
from collections.abc import Iterator

import pytest

from outbox_relay.db import connection as relay_connection
from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.relaying import relaying, until
from tests.support.smtp_server import SmtpServer
from tests.support.standby import lonely_primary, wait_for_standby

pytestmark = pytest.mark.anyio

LOST_REPLIES = 16
"""Waiting for so many lost replies takes longer than a lease or two, after which a message would be a suspect."""


@pytest.fixture
def lonely() -> Iterator[Outbox]:
    with lonely_primary() as database:
        yield Outbox(database)


async def test_messages_lose_no_lease_while_the_primary_cannot_confirm_and_are_sent_afterwards(
    lonely: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_connection, "RESPONSE_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr("shared.db.errors.LONGEST_PAUSE_SECONDS", 0.3)
    ids = lonely.put(count=20)
    await asyncio.to_thread(wait_for_standby, lonely.database, "*")
    short = {"RELAY_LEASE_SECONDS": "3", "RELAY_SEND_SECONDS": "1", "RELAY_POLL_SECONDS": "1"}
    async with SmtpServer() as server, relaying(lonely, server, **short) as parts:
        await asyncio.to_thread(eventually, lambda: parts.connections.claiming.failures >= LOST_REPLIES)
        assert server.messages == []
        monkeypatch.setattr(relay_connection, "RESPONSE_TIMEOUT_SECONDS", 20.0)
        await asyncio.to_thread(wait_for_standby, lonely.database, "")
        await until(lonely, parts, "select 1 where not exists (select from outbox_messages where status = 'pending')")
        assert len(server.messages) == len(ids)
    assert set(lonely.execute("select status, attempt, lost_leases from outbox_messages")) == {("sent", 1, 0)}
