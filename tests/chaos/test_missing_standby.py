"""A synchronous standby goes away: the primary commits but cannot confirm."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from devstack.cluster import Cluster, embedded_binaries
from devstack.logins import create_logins
from migrations import commands
from outbox_relay.db import connection as relay_connection
from shared.db.connection_settings import driver_url
from tests.support.databases import Database, execute
from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.relaying import relaying, until
from tests.support.smtp_server import SmtpServer

pytestmark = pytest.mark.anyio

LOST_REPLIES = 16
"""Waiting for so many lost replies takes longer than a lease or two, after which a message would be a suspect."""


@pytest.fixture
def lonely() -> Iterator[Outbox]:
    """Yield an outbox on its own primary, which can be set to wait for a missing standby."""
    with Cluster(embedded_binaries()) as primary:
        execute(primary, "create database signpost")
        commands.upgrade(primary.url("signpost"))
        create_logins(primary.url("signpost"))
        yield Outbox(Database(primary, "signpost"))


def wait_for_standby(outbox: Outbox, names: str) -> None:
    cluster = outbox.database.cluster
    execute(cluster, f"alter system set synchronous_standby_names = '{names}'")
    execute(cluster, "select pg_reload_conf()")
    shown = "select count(*) from pg_settings where name = 'synchronous_standby_names' and setting = %s"
    with psycopg.connect(driver_url(cluster.url("signpost"))) as connection:
        eventually(lambda: connection.execute(shown, [names]).fetchone() == (1,))


async def test_messages_lose_no_lease_while_the_primary_cannot_confirm_and_are_sent_afterwards(
    lonely: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_connection, "RESPONSE_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr("shared.db.outage.LONGEST_PAUSE_SECONDS", 0.3)
    ids = lonely.put(count=20)
    await asyncio.to_thread(wait_for_standby, lonely, "*")
    short = {"RELAY_LEASE_SECONDS": "3", "RELAY_SEND_SECONDS": "1", "RELAY_POLL_SECONDS": "1"}
    async with SmtpServer() as server, relaying(lonely, server, **short) as parts:
        await asyncio.to_thread(eventually, lambda: parts.connections.claiming.failures >= LOST_REPLIES)
        assert server.messages == []
        monkeypatch.setattr(relay_connection, "RESPONSE_TIMEOUT_SECONDS", 20.0)
        await asyncio.to_thread(wait_for_standby, lonely, "")
        await until(lonely, parts, "select 1 where not exists (select from outbox_messages where status = 'pending')")
        assert len(server.messages) == len(ids)
    assert set(lonely.execute("select status, attempt, lost_leases from outbox_messages")) == {("sent", 1, 0)}
