"""A session that is never answered again and never closed, as behind a load balancer that has lost its server."""

import asyncio
from contextlib import AbstractContextManager
from uuid import uuid4

import pytest

from outbox_relay.bootstrap import assemble
from outbox_relay.db import connection as patience
from outbox_relay.maintenance.leader import Maintenance
from outbox_relay.outbox import listener
from outbox_relay.outbox.listener import listen
from outbox_relay.settings import RelaySettingsSchema
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.forwarding import Road, forwarding
from tests.support.gates import wait_until_held_up
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import IMPATIENT, RunningRelay, relay_environment, running_relay

LEASED = "select count(*) from outbox_messages where lease_token is not null"
UNSENT = "select count(*) from outbox_messages where status <> 'sent'"
LONGEST = 60
"""Seconds: some until the relay loses patience, ten for psycopg to let go, and room."""


def test_statements_that_are_never_answered_are_sent_again_over_other_sessions(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    with forwarding(0, to=outbox.database.cluster.port) as road, relay_over(road, outbox, sink) as relay:
        ledger.enqueue(1)
        eventually(outbox.is_all_sent)  # so that there is a session to settle over
        sink.hold_verdicts()
        ledger.enqueue(20, rolled_back=5)
        eventually(lambda: outbox.number(LEASED) == 20)
        road.fall_silent()
        sink.release()
        eventually(lambda: sink.arrived.total() == 21)
        ledger.enqueue(20)
        assert outbox.number(UNSENT) == 40
        eventually(outbox.is_all_sent, seconds=LONGEST)
        lost = {line["purpose"]: line["error"] for line in relay.said("database lost")}
        assert (lost["claim"], lost["settle"]) == ("ConnectionTimeout", "ConnectionTimeout")
        relay.wait_until_ready()
    # The relay has kept what it knew, and its leases were long enough.
    assert conserved(ledger, sink).copies == 0


def relay_over(road: Road, outbox: Outbox, sink: MailSink) -> AbstractContextManager[RunningRelay]:
    """Run a relay that reaches its database by that road only."""
    settings = {"EMAIL_PROVIDERS": sink.provider, "DATABASE_URL": url_over(road, outbox)}
    return running_relay(outbox.database, command=IMPATIENT, **settings)


def url_over(road: Road, outbox: Outbox) -> str:
    return outbox.database.cluster.tcp_url(outbox.database.name, user="relay", port=road.port)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten how long an answer may take; psycopg's own ten seconds to let go of a session remain."""
    monkeypatch.setattr(patience, "RESPONSE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(listener, "SESSION_CHECK_SECONDS", 0.1)


@pytest.mark.usefixtures("impatience")
def test_a_listener_whose_session_has_fallen_silent_listens_over_another(outbox: Outbox) -> None:
    async def listen_twice(road: Road) -> None:
        woken = asyncio.Event()
        listening = asyncio.create_task(listen(url_over(road, outbox), lambda **_: woken.set()))
        async with asyncio.timeout(LONGEST):
            await woken.wait()  # it wakes whenever it has begun to listen
            road.fall_silent()
            woken.clear()
            await woken.wait()
        listening.cancel()
        await asyncio.wait([listening])

    with forwarding(0, to=outbox.database.cluster.port) as road:
        asyncio.run(listen_twice(road))


@pytest.mark.usefixtures("impatience")
def test_looks_and_maintenance_do_not_wait_for_a_session_that_has_fallen_silent(outbox: Outbox) -> None:
    async def do_both(road: Road) -> None:
        settings = RelaySettingsSchema().read(
            relay_environment(outbox.database, DATABASE_URL=url_over(road, outbox), EMAIL_PROVIDERS="console:")
        )
        parts = assemble(settings)
        async with asyncio.timeout(LONGEST), asyncio.TaskGroup() as group:
            group.create_task(parts.poller.poll())
            group.create_task(Maintenance(settings, uuid4()).run_round())
            for purpose in ("look", "maintenance"):
                await asyncio.to_thread(wait_until_held_up, outbox.database, purpose)
            road.fall_silent()
        assert parts.connections.polling.is_lost
        await parts.close()

    with (
        forwarding(0, to=outbox.database.cluster.port) as road,
        outbox.database.connect() as owner,
        owner.transaction(),
    ):
        owner.execute("lock outbox_messages, leader_lease")
        asyncio.run(do_both(road))
