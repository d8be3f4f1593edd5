"""A relay with fakes of the supported SMS gateways."""

import asyncio
import re
from dataclasses import dataclass

import pytest

from tests.support.eventually import eventually
from tests.support.http_gateway import HttpGateway
from tests.support.outbox import Outbox
from tests.support.relays import running_relay
from tests.support.sms_responses import TEMPORAL_FAILURE, twilio_refused
from tests.support.smsc import Smsc

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

AT = "\0"
"""In GSM-7. All other characters of this text have the same code as in ASCII."""

SECRETS = ("t/ken", "t%2Fken", "p&ss", "p%26ss", "hush", "33612345678")


@dataclass(frozen=True)
class Received:
    metrics: str
    log: str


def delivered_through(outbox: Outbox, providers: str) -> Received:
    """Run a relay once, and return its metrics and log."""
    settings = {"SMS_PROVIDERS": providers, "SMS_ONE_TAP": "on", "LOG_LEVEL": "debug"}
    with running_relay(outbox.database, **settings) as relay:
        eventually(outbox.is_all_sent, seconds=30)
        return Received(relay.get("/metrics").text, relay.log_text())


async def test_only_the_first_gateway_that_accepts_the_sms_receives_the_code(outbox: Outbox) -> None:
    [message_id] = outbox.put(channel="sms", recipient="'+33612345678'")
    async with (
        HttpGateway(twilio_refused(429, 20429, "Too many requests")) as twilio,
        HttpGateway(TEMPORAL_FAILURE) as kannel,
        Smsc() as smsc,
    ):
        providers = (
            f"twilio://AC1:t%2Fken@127.0.0.1:{twilio.port}?from=+15005550006&tls=none",
            f"kannel://us:p%26ss@127.0.0.1:{kannel.port}?from=Signpost&tls=none",
            f"smpp://us:hush@127.0.0.1:{smsc.port}?from=Signpost&tls=none",
        )
        heard = await asyncio.to_thread(delivered_through, outbox, ",".join(providers))

    [submitted] = smsc.submitted
    assert re.fullmatch(r"0000002[0-3]\d{4}000R", submitted.validity_period)
    text = submitted.short_message.decode()
    [code, again] = re.findall(r"\b\d{6}\b", text)
    assert code == again
    assert text.endswith(f"\n{AT}signpost.example #{code}")
    assert (len(twilio.requests), len(kannel.requests)) == (1, 1)
    assert f'signpost_sms_segments_total{{provider="smpp:127.0.0.1:{smsc.port}"}} 1.0' in heard.metrics
    assert outbox.row(message_id).attempt == 1
    for secret in (code, *SECRETS):
        assert secret not in heard.log
        assert secret not in heard.metrics
