"""One look for all that there may be to do, by a relay that nobody tells of anything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from outbox_relay.bootstrap import Parts
from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.relaying import PATIENCE_SECONDS, relaying
from tests.support.smtp_server import SmtpServer

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def unwoken(outbox: Outbox) -> AsyncIterator[Parts]:
    """Run a relay that hears nothing; yield once it has claimed for the first time."""
    async with SmtpServer() as server, relaying(outbox, server) as parts:
        await parts.relay.begun()
        yield parts


async def until(is_so: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, is_so, seconds=PATIENCE_SECONDS)


@pytest.mark.parametrize("trouble", ["select 1", "drop table providers"])
async def test_what_nobody_told_of_is_found_also_where_looking_for_all_fails(outbox: Outbox, trouble: str) -> None:
    async with unwoken(outbox):
        outbox.execute(trouble)
        outbox.put(count=3)
        outbox.put(expiries="2")
        await until(outbox.is_all_sent)


async def test_a_look_for_a_lane_that_rests_counts_as_its_own(outbox: Outbox) -> None:
    async with unwoken(outbox) as parts:
        before = [pulse.looks for pulse in parts.relay.pulses]
        await until(lambda: all(pulse.looks > looks for pulse, looks in zip(parts.relay.pulses, before, strict=True)))


async def test_what_is_due_is_counted_and_that_nothing_is_as_well(outbox: Outbox) -> None:
    def backlog() -> tuple[float | None, float | None]:
        names = ("signpost_backlog_messages", "signpost_backlog_lag_seconds")
        count, lag = (REGISTRY.get_sample_value(name, {"channel": "sms"}) for name in names)
        return count, lag

    outbox.put(channel="sms", count=2)  # for which this relay has no provider
    async with unwoken(outbox):
        await until(lambda: backlog()[0] == 2)
        outbox.execute("update outbox_messages set status = 'sent', settled_at = now()")
        await until(lambda: backlog() == (0, 0))
