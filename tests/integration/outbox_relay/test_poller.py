"""One look for all that there may be to do, by a relay that nobody tells of anything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from outbox_relay.bootstrap import RelayComponents, assemble
from outbox_relay.delivery.poller import set_lag_gauges
from outbox_relay.settings import RelaySettingsSchema
from tests.support.eventually import eventually
from tests.support.gates import wait_until_blocked
from tests.support.maintenance import put_old
from tests.support.outbox import Outbox
from tests.support.relaying import PATIENCE_SECONDS, relaying
from tests.support.relays import relay_environment
from tests.support.smtp_server import SmtpServer

pytestmark = pytest.mark.anyio

TAKE_IN_HAND = """
update outbox_messages set lease_token = gen_random_uuid(), leased_until = now() + interval '1 hour'
 where channel = 'sms'
"""
IN_HAND = {"lease_token": "gen_random_uuid()", "leased_until": "now() + interval '1 hour'"}


@asynccontextmanager
async def unwoken(outbox: Outbox, **settings: str) -> AsyncIterator[RelayComponents]:
    """Run a relay that hears nothing; yield once it has claimed for the first time."""
    async with SmtpServer() as server, relaying(outbox, server, **settings) as parts:
        await parts.relay.wait_until_started()
        yield parts


def sample(name: str) -> float | None:
    """Return what a gauge says of a channel for which these relays have no provider."""
    return REGISTRY.get_sample_value(name, {"channel": "sms"})


async def until_the_backlog_is(parts: RelayComponents, number: int) -> None:
    """Count, as the scheduler does, until the gauge has that value."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while sample("signpost_backlog_messages") != number:
            await parts.poller.count_backlog()
            await asyncio.sleep(0.02)


async def until(is_so: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, is_so, seconds=PATIENCE_SECONDS)


@pytest.mark.parametrize("trouble", ["select 1", "drop table providers"])
async def test_what_nobody_told_of_is_found_also_where_looking_for_all_fails(outbox: Outbox, trouble: str) -> None:
    async with unwoken(outbox):
        outbox.execute(trouble)
        outbox.put(count=3)
        outbox.put(lost_leases="2")
        await until(outbox.is_all_sent)


async def test_an_old_message_is_found_by_the_poll_that_sees_it_due_without_a_full_scan(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox_relay.outbox.claim.FULL_SCAN_SECONDS", 3600.0)
    async with unwoken(outbox):
        outbox.put()
        await until(outbox.is_all_sent)
        put_old(outbox, 9, status="'pending'", settled_at="null")
        await until(outbox.is_all_sent)


async def test_a_poll_counts_as_a_look_of_an_idle_consumer(outbox: Outbox) -> None:
    async with unwoken(outbox) as parts:
        before = [pulse.looks for pulse in parts.relay.progress]
        await until(lambda: all(pulse.looks > looks for pulse, looks in zip(parts.relay.progress, before, strict=True)))


async def test_what_is_due_is_counted_and_that_nothing_is_as_well(outbox: Outbox) -> None:
    outbox.put(channel="sms", count=2)  # for which this relay has no provider
    async with unwoken(outbox) as parts:
        await until_the_backlog_is(parts, 2)
        outbox.execute("update outbox_messages set status = 'sent', settled_at = now()")
        await until(lambda: sample("signpost_backlog_messages") == sample("signpost_backlog_lag_seconds") == 0)


async def test_what_is_in_hand_counts_as_due_beside_what_waits_and_does_not_age(outbox: Outbox) -> None:
    outbox.put(channel="sms", due_at="now() - interval '1 hour'", count=2, **IN_HAND)
    outbox.put(channel="sms", due_at="now() + interval '1 hour'")
    outbox.put(channel="sms", due_at="now() - interval '1 minute'", priority="'low'", count=3)
    async with unwoken(outbox) as parts:
        await until_the_backlog_is(parts, 5)
        assert 60 <= (sample("signpost_backlog_lag_seconds") or 0) < 300


async def test_what_is_all_in_hand_is_no_backlog_though_another_channel_has_one(outbox: Outbox) -> None:
    outbox.put(channel="sms", count=2)
    outbox.put(channel="provision", template="'organization'")
    async with unwoken(outbox) as parts:
        await until_the_backlog_is(parts, 2)
        outbox.execute(TAKE_IN_HAND)
        await until(lambda: sample("signpost_backlog_messages") == sample("signpost_backlog_lag_seconds") == 0)


async def test_a_count_that_fails_costs_no_look(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox_relay.delivery.poller.COUNT", "select count(*) from nowhere")
    async with unwoken(outbox) as parts:
        outbox.put(channel="sms")  # for which this relay has no provider
        outbox.put(lost_leases="2")
        await until(lambda: bool(sample("signpost_backlog_lag_seconds")))
        await parts.poller.count_backlog()
        assert parts.connections.counting.is_lost
        assert not parts.connections.polling.is_lost
        await until(lambda: outbox.number("select count(*) from outbox_messages where status = 'sent'") == 1)


async def test_a_look_that_was_given_up_is_followed_by_as_long_a_rest_as_any(outbox: Outbox) -> None:
    settings = relay_environment(outbox.database, EMAIL_PROVIDERS="console:")
    parts = assemble(RelaySettingsSchema().read(settings))
    set_lag_gauges({})
    with outbox.database.connect() as owner, owner.transaction():
        owner.execute("lock outbox_messages")
        look = asyncio.create_task(parts.poller.poll())
        await asyncio.to_thread(wait_until_blocked, outbox.database, "look")
        await asyncio.to_thread(outbox.execute, "select pg_sleep(0.6)")  # longer than from one poll to the next
        outbox.execute(
            "select pg_cancel_backend(pid) from pg_stat_activity where application_name = 'outbox-relay look'"
        )
        await look
    outbox.put(channel="sms")
    await parts.poller.poll()
    assert sample("signpost_backlog_lag_seconds") == 0
    await parts.close()
