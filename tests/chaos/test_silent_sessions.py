"""A session whose server never replies and never closes, as behind a load balancer that lost its server."""

import asyncio
from contextlib import AbstractContextManager
from uuid import uuid4

import pytest

from outbox_relay.bootstrap import assemble
from outbox_relay.db import connection as relay_connection
from outbox_relay.maintenance.leader import Maintenance
from outbox_relay.outbox import listener
from outbox_relay.outbox.listener import listen
from outbox_relay.settings import RelaySettingsSchema
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.forwarding import TcpProxy, forwarding
from tests.support.gates import wait_until_blocked
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import WITH_SHORT_TIMEOUTS, RunningRelay, relay_environment, running_relay

LEASED = "select count(*) from outbox_messages where lease_token is not null"
UNSENT = "select count(*) from outbox_messages where status <> 'sent'"
LONGEST = 60
"""Seconds: the relay's timeout, ten for psycopg to close the session, and a margin."""


def test_statements_without_a_reply_are_sent_again_over_new_sessions(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    with forwarding(0, to=outbox.database.cluster.port) as proxy, relay_through(proxy, outbox, sink) as relay:
        ledger.enqueue(1)
        eventually(outbox.is_all_sent)  # opens a session for settlements
        sink.hold_final_replies()
        ledger.enqueue(20, rolled_back=5)
        eventually(lambda: outbox.number(LEASED) == 20)
        proxy.fall_silent()
        sink.release()
        eventually(lambda: sink.arrived.total() == 21)
        ledger.enqueue(20)
        assert outbox.number(UNSENT) == 40
        eventually(outbox.is_all_sent, seconds=LONGEST)
        lost = {line["purpose"]: (line["error"], line["cause"]) for line in relay.logged("database lost")}
        assert lost["claim"] == lost["settle"] == ("ConnectionTimeout", "timed out")
        relay.wait_until_ready()
    # The relay has stored its outcomes, and its leases were long enough.
    assert conserved(ledger, sink).copies == 0


def relay_through(proxy: TcpProxy, outbox: Outbox, sink: MailSink) -> AbstractContextManager[RunningRelay]:
    """Run a relay that reaches its database only through the proxy."""
    settings = {"EMAIL_PROVIDERS": sink.provider, "DATABASE_URL": url_through(proxy, outbox)}
    return running_relay(outbox.database, command=WITH_SHORT_TIMEOUTS, **settings)


def url_through(proxy: TcpProxy, outbox: Outbox) -> str:
    return outbox.database.cluster.tcp_url(outbox.database.name, user="relay", port=proxy.port)


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the statement timeout. psycopg's own ten seconds to close a session remain."""
    monkeypatch.setattr(relay_connection, "RESPONSE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(listener, "SESSION_CHECK_SECONDS", 0.1)


@pytest.mark.usefixtures("short_timeouts")
def test_a_listener_replaces_a_silent_session(outbox: Outbox) -> None:
    async def listen_twice(proxy: TcpProxy) -> None:
        woken = asyncio.Event()
        listening = asyncio.create_task(listen(url_through(proxy, outbox), lambda **_: woken.set()))
        async with asyncio.timeout(LONGEST):
            await woken.wait()  # the listener sends a wake signal each time it starts to listen
            proxy.fall_silent()
            woken.clear()
            await woken.wait()
        listening.cancel()
        await asyncio.wait([listening])

    with forwarding(0, to=outbox.database.cluster.port) as proxy:
        asyncio.run(listen_twice(proxy))


@pytest.mark.usefixtures("short_timeouts")
def test_polls_and_maintenance_do_not_wait_for_a_silent_session(outbox: Outbox) -> None:
    async def do_both(proxy: TcpProxy) -> None:
        settings = RelaySettingsSchema().read(
            relay_environment(outbox.database, DATABASE_URL=url_through(proxy, outbox), EMAIL_PROVIDERS="console:")
        )
        parts = assemble(settings)
        async with asyncio.timeout(LONGEST), asyncio.TaskGroup() as group:
            group.create_task(parts.poller.poll())
            group.create_task(Maintenance(settings, uuid4()).run_round())
            for purpose in ("look", "maintenance"):
                await asyncio.to_thread(wait_until_blocked, outbox.database, purpose)
            proxy.fall_silent()
        assert parts.connections.polling.is_lost
        await parts.close()

    with (
        forwarding(0, to=outbox.database.cluster.port) as proxy,
        outbox.database.connect() as owner,
        owner.transaction(),
    ):
        owner.execute("lock outbox_messages, leader_lease")
        asyncio.run(do_both(proxy))
