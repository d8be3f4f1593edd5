"""What requests to HTTP gateways contain if these are to call back with receipts."""

from urllib.parse import urlsplit
from uuid import UUID

import pytest

from outbox_relay.bootstrap import callback_url_of
from outbox_relay.model import Sent
from outbox_relay.settings import RelaySettingsSchema
from shared.reports.return_paths import BouncedMessage, Gateway, recipient_tag, reported_message
from shared.secrets import SecretKeys
from shared.vocabulary import Channel
from tests.support.callbacks import BASE, FEEDBACK_KEY, FEEDBACK_KEYS, url_for
from tests.support.http_gateway import HttpGateway, Request, answer
from tests.support.keys import SECRET_KEYS
from tests.support.rendered_messages import a_message
from tests.support.sms_responses import kannel, twilio
from tests.support.sms_sessions import result_through

pytestmark = pytest.mark.anyio

NUMBER = "+33612345678"
URLS = {
    Gateway.TWILIO: "twilio://AC1:t%2Fken@127.0.0.1:{}?from=%2B15005550006&tls=none",
    Gateway.KANNEL: "kannel://us:p%26ss@127.0.0.1:{}?from=Signpost&tls=none",
    Gateway.JSON: "http+json://token@127.0.0.1:{}/send",
}
REPLIES = {Gateway.TWILIO: twilio, Gateway.KANNEL: kannel, Gateway.JSON: answer(200, b'{"id": "j-1"}')}


def callback_url(gateway: Gateway, message_id: UUID, _recipient: str) -> str:
    return url_for(gateway, message_id)


async def request_to(gateway: Gateway, *, calls_back: bool = True) -> tuple[UUID, Request, Sent]:
    rendered = a_message(NUMBER, b"Your code is 123456", Channel.SMS)
    async with HttpGateway(REPLIES[gateway]) as server:
        url = URLS[gateway].format(server.port)
        result = await result_through(url, rendered, callback_url if calls_back else None)
    assert isinstance(result, Sent)
    [request] = server.requests
    return rendered.message.id, request, result


async def test_twilio_gets_a_status_callback_that_it_repeats() -> None:
    message_id, request, result = await request_to(Gateway.TWILIO)
    assert request.fields["StatusCallback"] == url_for(Gateway.TWILIO, message_id) + "#rc=5&rp=5xx,ct,rt"
    assert result.provider_message_id == "SM1"


async def test_kannel_gets_a_url_for_delivery_reports_of_all_kinds() -> None:
    message_id, request, _result = await request_to(Gateway.KANNEL)
    assert request.fields["dlr-mask"] == "31"
    assert request.fields["dlr-url"] == url_for(Gateway.KANNEL, message_id) + "?type=%d&id=%F&answer=%A"


async def test_a_json_gateway_gets_a_callback_url() -> None:
    message_id, request, result = await request_to(Gateway.JSON)
    assert request.body["callback_url"] == url_for(Gateway.JSON, message_id)
    assert result.provider_message_id == "j-1"


@pytest.mark.parametrize("gateway", Gateway)
async def test_without_callback_url_no_gateway_is_asked_for_receipts(gateway: Gateway) -> None:
    _message_id, request, _result = await request_to(gateway, calls_back=False)
    told = request.line + request.content.decode()
    assert "callback" not in told.lower()
    assert "dlr" not in told


def test_the_relay_makes_urls_with_its_newest_key() -> None:
    environment = {
        "DATABASE_URL": "postgresql+psycopg://relay@db/signpost",
        "SECRET_KEYS": SECRET_KEYS,
        "PUBLIC_URL": "https://signpost.example",
        "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
        "SMS_PROVIDERS": "console:",
    }
    assert callback_url_of(RelaySettingsSchema().read(environment)) is None
    settings = RelaySettingsSchema().read(environment | {"CALLBACK_URL": BASE, "FEEDBACK_KEYS": FEEDBACK_KEYS})
    make = callback_url_of(settings)
    assert make
    message_id = UUID(int=7)
    url = make(Gateway.TWILIO, message_id, NUMBER)
    newest = SecretKeys({"new": FEEDBACK_KEY})
    found = reported_message(urlsplit(url).path.rpartition("/")[2], Gateway.TWILIO, newest)
    assert found == BouncedMessage(message_id, recipient_tag(NUMBER, FEEDBACK_KEY))
