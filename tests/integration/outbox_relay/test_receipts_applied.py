"""Receipts from a gateway to the delivery state of their message, with processes and PostgreSQL."""

import asyncio

import pytest

from shared.reports.return_paths import Gateway
from tests.support import plain_http
from tests.support.callbacks import FEEDBACK_KEYS, path_for, running_receiver, twilio_signature, url_for
from tests.support.eventually import eventually
from tests.support.outbox import Outbox
from tests.support.relays import running_relay
from tests.support.smsc import Smsc, receipt

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

STATE = "select message_id, state, cause, source from delivery_states"
SETTINGS = {"FEEDBACK_KEYS": FEEDBACK_KEYS, "RELAY_MAINTENANCE_SECONDS": "1"}


def provider(smsc: Smsc) -> str:
    return f"smpp://us:pw@127.0.0.1:{smsc.port}?from=Signpost&tls=none&receipts=yes&connections=1"


async def test_a_receipt_over_smpp_changes_the_state_of_its_message(outbox: Outbox) -> None:
    [message_id] = outbox.put(channel="sms", recipient="'+33612345678'")
    async with Smsc(id_of=lambda number: f"AB{number:06}") as smsc:
        with running_relay(outbox.database, SMS_PROVIDERS=provider(smsc), **SETTINGS):
            await smsc.wait_for(smsc.has_submission)
            assert await smsc.deliver(receipt(str(0xAB000001), "UNDELIV", "001")) == 0
            found = await asyncio.to_thread(eventually, lambda: outbox.execute(STATE))
    assert found == [(message_id, "bounced", "recipient", "smpp")]


async def test_a_callback_that_comes_before_sent_was_written_counts_afterwards(outbox: Outbox) -> None:
    [message_id] = outbox.put(channel="sms", recipient="'+33612345678'")
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005"}
    with running_receiver(outbox.database) as receiver:
        url = f"{receiver.base_url}{path_for(Gateway.TWILIO, message_id)}"
        headers = twilio_signature(url_for(Gateway.TWILIO, message_id), form)
        response = await asyncio.to_thread(lambda: plain_http.post(url, data=form, headers=headers))
        assert response.status_code == 204
    async with Smsc() as smsc:
        with running_relay(outbox.database, SMS_PROVIDERS=provider(smsc), **SETTINGS):
            found = await asyncio.to_thread(eventually, lambda: outbox.execute(STATE))
    assert found == [(message_id, "bounced", "recipient", "twilio")]
