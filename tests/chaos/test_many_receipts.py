"""Ten thousand receipts, in disorder and with duplicates, through one process of each receiver."""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx
import pytest

from shared.reports.return_paths import Gateway
from shared.secrets import SecretKeys
from tests.support.callbacks import FEEDBACK_KEY, NUMBER, path_for, reports, running_receiver
from tests.support.databases import Database
from tests.support.delivery_reports import apply_reports
from tests.support.outbox import Outbox
from tests.support.relays import running_relay
from tests.support.smsc import Smsc, receipt

RECEIPTS = 10_000
REPEATED = 1_000
GATEWAYS = 8


def in_disorder(jitter: random.Random, receipts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the receipts with some of them twice, in any order."""
    sent = receipts + jitter.sample(receipts, REPEATED)
    jitter.shuffle(sent)
    return sent


def call(base_url: str, receipts: list[tuple[str, str]]) -> int:
    """Send the receipts over one connection, and return how many were acknowledged."""
    acknowledged = 0
    with httpx.Client(base_url=base_url, timeout=30) as client:
        for message_id, status in receipts:
            path = path_for(Gateway.JSON, UUID(message_id))
            acknowledged += client.post(path, json={"status": status}).is_success
    return acknowledged


def test_ten_thousand_callbacks_are_stored_and_applied_once_each(outbox: Outbox, jitter: random.Random) -> None:
    sent_before = {"channel": "sms", "recipient": f"'{NUMBER}'", "status": "'sent'", "settled_at": "now()"}
    messages = [str(message_id) for message_id in outbox.put(count=RECEIPTS // 2, **sent_before)]
    each = [(message_id, status) for message_id in messages for status in ("delayed", "delivered")]
    sent = in_disorder(jitter, each)
    with running_receiver(outbox.database) as receiver, ThreadPoolExecutor(GATEWAYS) as gateways:
        shares = [sent[number::GATEWAYS] for number in range(GATEWAYS)]
        acknowledged = sum(gateways.map(lambda share: call(receiver.base_url, share), shares))
        metrics = receiver.admin("/metrics").text
    assert acknowledged == len(sent)
    assert f'signpost_callbacks_repeated_total{{gateway="json"}} {float(REPEATED)}' in metrics
    stored = {(str(message_id), kind) for message_id, kind in reports(outbox.database, "message_id, kind")}
    assert stored == set(each)
    assert len(reports(outbox.database, "id")) == RECEIPTS
    keys = SecretKeys({"new": FEEDBACK_KEY})
    while apply_reports(outbox.database, keys):
        pass
    assert outbox.execute("select state, count(*) from delivery_states group by state") == [
        ("delivered", len(messages))
    ]


@pytest.mark.anyio
async def test_ten_thousand_receipts_over_smpp_are_stored_once_each(database: Database, jitter: random.Random) -> None:
    each = [(f"id-{number}", state) for number in range(RECEIPTS // 2) for state in ("DELIVRD", "EXPIRED")]
    sent = iter(in_disorder(jitter, each))
    async with Smsc() as smsc:

        async def deliver() -> int:
            return sum([await smsc.deliver(receipt(message_id, state)) == 0 for message_id, state in sent])

        url = f"smpp://us:pw@127.0.0.1:{smsc.port}?from=Signpost&tls=none&receipts=yes&connections=1"
        with running_relay(database, SMS_PROVIDERS=url):
            await smsc.wait_for(smsc.has_bind)
            acknowledged = sum(await asyncio.gather(*(deliver() for _ in range(10))))
    assert acknowledged == RECEIPTS + REPEATED
    stored = set(reports(database, "provider_message_id, kind"))
    kinds = {"DELIVRD": "delivered", "EXPIRED": "bounced"}
    assert stored == {(message_id, kinds[state]) for message_id, state in each}
