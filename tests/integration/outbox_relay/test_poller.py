"""One poll for all work, in a relay without wake signals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from outbox_relay.bootstrap import RelayComponents
from outbox_relay.delivery.poller import set_lag_gauges
from tests.support.eventually import eventually
from tests.support.gates import wait_until_blocked
from tests.support.maintenance import put_old
from tests.support.outbox import Outbox
from tests.support.relaying import TIMEOUT_SECONDS, assembled, relaying
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
    """Run a relay without a listener. Yield after its first claim."""
    async with SmtpServer() as server, relaying(outbox, server, **settings) as parts:
        await parts.relay.wait_until_started()
        yield parts


def sample(name: str) -> float | None:
    """Return the gauge's value for a channel without a provider."""
    return REGISTRY.get_sample_value(name, {"channel": "sms"})


async def until_the_backlog_is(parts: RelayComponents, number: int) -> None:
    """Count repeatedly, as the scheduler does, until the gauge has that value."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while sample("signpost_backlog_messages") != number:
            await parts.poller.count_backlog()
            await asyncio.sleep(0.02)


async def until(is_so: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, is_so, seconds=TIMEOUT_SECONDS)


@pytest.mark.parametrize("failure", ["select 1", "drop table providers"])
async def test_messages_without_a_notification_are_found_although_the_combined_poll_fails(
    outbox: Outbox, failure: str
) -> None:
    async with unwoken(outbox):
        outbox.execute(failure)
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


async def test_a_poll_counts_as_progress_of_an_idle_consumer(outbox: Outbox) -> None:
    async with unwoken(outbox) as parts:
        before = [progress.looks for progress in parts.relay.progress]
        await until(
            lambda: all(progress.looks > looks for progress, looks in zip(parts.relay.progress, before, strict=True))
        )


async def test_due_messages_are_counted_down_to_zero(outbox: Outbox) -> None:
    outbox.put(channel="sms", count=2)  # this relay has no provider for them
    async with unwoken(outbox) as parts:
        await until_the_backlog_is(parts, 2)
        outbox.execute("update outbox_messages set status = 'sent', settled_at = now()")
        await until(lambda: sample("signpost_backlog_messages") == sample("signpost_backlog_lag_seconds") == 0)


async def test_leased_messages_count_in_the_backlog_without_ageing(outbox: Outbox) -> None:
    outbox.put(channel="sms", due_at="now() - interval '1 hour'", count=2, **IN_HAND)
    outbox.put(channel="sms", due_at="now() + interval '1 hour'")
    outbox.put(channel="sms", due_at="now() - interval '1 minute'", priority="'low'", count=3)
    async with unwoken(outbox) as parts:
        await until_the_backlog_is(parts, 5)
        assert 60 <= (sample("signpost_backlog_lag_seconds") or 0) < 300


async def test_a_channel_with_only_leased_messages_has_no_backlog(outbox: Outbox) -> None:
    outbox.put(channel="sms", count=2)
    outbox.put(channel="provision", template="'organization'")
    async with unwoken(outbox) as parts:
        await until_the_backlog_is(parts, 2)
        outbox.execute(TAKE_IN_HAND)
        await until(lambda: sample("signpost_backlog_messages") == sample("signpost_backlog_lag_seconds") == 0)


async def test_a_failed_count_prevents_no_poll(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox_relay.delivery.poller.COUNT", "select count(*) from nowhere")
    async with unwoken(outbox) as parts:
        outbox.put(channel="sms")  # for which this relay has no provider
        outbox.put(lost_leases="2")
        await until(lambda: bool(sample("signpost_backlog_lag_seconds")))
        await parts.poller.count_backlog()
        assert parts.connections.counting.is_lost
        assert not parts.connections.polling.is_lost
        await until(lambda: outbox.number("select count(*) from outbox_messages where status = 'sent'") == 1)


async def test_a_cancelled_poll_is_followed_by_the_usual_pause(outbox: Outbox) -> None:
    settings = relay_environment(outbox.database, EMAIL_PROVIDERS="console:")
    parts = assembled(settings)
    set_lag_gauges({})
    with outbox.database.connect() as owner, owner.transaction():
        owner.execute("lock outbox_messages")
        look = asyncio.create_task(parts.poller.poll())
        await asyncio.to_thread(wait_until_blocked, outbox.database, "look")
        await asyncio.to_thread(outbox.execute, "select pg_sleep(0.6)")  # longer than the poll interval
        outbox.execute(
            "select pg_cancel_backend(pid) from pg_stat_activity where application_name = 'outbox-relay look'"
        )
        await look
    outbox.put(channel="sms")
    await parts.poller.poll()
    assert sample("signpost_backlog_lag_seconds") == 0
    await parts.close()
