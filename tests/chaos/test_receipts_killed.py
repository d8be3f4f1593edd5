"""Kill relays while an SMSC delivers receipts to them: an acknowledged receipt is never lost."""

import asyncio
from contextlib import suppress
from itertools import count

import pytest

from tests.support.callbacks import reports
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.relays import running_relay
from tests.support.smsc import Smsc, receipt

pytestmark = pytest.mark.anyio

KILLS = 3
BETWEEN_KILLS = 300
WINDOW = 20
"""Receipts without a response at the same time."""


async def deliver_all(smsc: Smsc, numbers: "count[int]", acknowledged: set[str], enough: int) -> None:
    """Deliver receipts one after the other until enough are acknowledged, or the connection ends."""
    while len(acknowledged) < enough:
        message_id = f"id-{next(numbers)}"
        if await smsc.deliver(receipt(message_id)) == 0:
            acknowledged.add(message_id)


async def test_no_acknowledged_receipt_is_lost_when_relays_are_killed(database: Database) -> None:
    acknowledged: set[str] = set()
    numbers = count(1)
    async with Smsc() as smsc:
        url = f"smpp://us:pw@127.0.0.1:{smsc.port}?from=Signpost&tls=none&receipts=yes&connections=1"
        for kill in range(1, KILLS + 1):
            smsc.has_bind.clear()
            with running_relay(database, SMS_PROVIDERS=url) as relay:
                await smsc.wait_for(smsc.has_bind)
                enough = kill * BETWEEN_KILLS
                delivering = [
                    asyncio.create_task(deliver_all(smsc, numbers, acknowledged, 10 * enough)) for _ in range(WINDOW)
                ]
                await asyncio.to_thread(eventually, lambda enough=enough: len(acknowledged) >= enough, seconds=60)
                relay.kill()
                for task in delivering:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
    stored = [message_id for (message_id,) in reports(database, "provider_message_id")]
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))
