from datetime import timedelta

import pytest

from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.vocabulary import Channel
from tests.support.http_gateway import HttpGateway, Reply, answer
from tests.support.rendered_messages import a_message
from tests.support.sms_responses import TWILIO_MAGIC, twilio, twilio_accepted, twilio_refused
from tests.support.sms_sessions import result_through

pytestmark = pytest.mark.anyio

RECIPIENT, CONTENT, TRANSIENT, PROVIDER = FailureClass


def an_sms(recipient: str = "+33612345678") -> RenderedMessage:
    return a_message(recipient, "Voilà: 123456 & more".encode(), Channel.SMS)


async def result_of(
    rendered: RenderedMessage, gateway: HttpGateway, user: str = "AC1:t%2Fken", sender: str = "+15005550006"
) -> Sent | Failure:
    url = f"twilio://{user}@127.0.0.1:{gateway.port}?from={sender}&tls=none"
    return await result_through(url, rendered)


async def refusal(reply: Reply) -> Failure:
    async with HttpGateway(reply) as gateway:
        result = await result_of(an_sms(), gateway)
    assert isinstance(result, Failure)
    return result


async def test_a_message_is_one_form_post_to_the_account() -> None:
    async with HttpGateway(twilio) as gateway:
        result = await result_of(an_sms(), gateway)
    [request] = gateway.requests
    assert request.fields == {"To": "+33612345678", "From": "+15005550006", "Body": "Voilà: 123456 & more"}
    assert result == Sent(f"twilio:127.0.0.1:{gateway.port}", "SM1")


async def test_a_messaging_service_can_replace_the_sender() -> None:
    async with HttpGateway(twilio) as gateway:
        result = await result_of(an_sms(), gateway, sender="MG0123")
    assert isinstance(result, Sent)
    assert gateway.requests[0].fields["MessagingServiceSid"] == "MG0123"
    assert "From" not in gateway.requests[0].fields


@pytest.mark.parametrize(("valid_seconds", "period"), [(0.4, "1"), (599.9, "599"), (86_400.0, "36000")])
async def test_a_message_is_valid_until_its_code_expires(valid_seconds: float, period: str) -> None:
    async with HttpGateway(twilio) as gateway:
        await result_of(a_message("+33612345678", b"123456", Channel.SMS, valid_seconds), gateway)
    assert gateway.requests[0].fields["ValidityPeriod"] == period


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("+15005550001", RECIPIENT),
        ("+15005550002", PROVIDER),
        ("+15005550003", PROVIDER),
        ("+15005550004", RECIPIENT),
        ("+15005550009", RECIPIENT),
    ],
)
async def test_number_errors_are_recipient_failures_and_route_errors_are_not(number: str, kind: FailureClass) -> None:
    async with HttpGateway(twilio) as gateway:
        result = await result_of(an_sms(number), gateway)
    assert isinstance(result, Failure)
    assert (result.kind, result.is_about_message, result.maybe_accepted) == (kind, True, False)
    assert result.error.startswith(f"HTTP 400 {TWILIO_MAGIC[number][0]}: ")


async def test_wrong_credentials_are_a_provider_failure() -> None:
    async with HttpGateway(twilio) as gateway:
        result = await result_of(an_sms(), gateway, user="AC1:wrong")
    assert isinstance(result, Failure)
    assert (result.kind, result.is_about_message) == (PROVIDER, False)


@pytest.mark.parametrize(
    ("status", "code", "kind", "is_about_message"),
    [
        (400, 21602, CONTENT, True),
        (400, 21617, CONTENT, True),
        (400, 21606, PROVIDER, False),
        (400, 21611, PROVIDER, False),
        (400, 30003, TRANSIENT, True),
        (400, 99999, PROVIDER, True),
        (429, 20429, PROVIDER, False),
        (500, 20500, PROVIDER, False),
        (503, 20503, PROVIDER, False),
    ],
)
async def test_error_codes_determine_the_failure_class(
    status: int, code: int, kind: FailureClass, *, is_about_message: bool
) -> None:
    failure = await refusal(twilio_refused(status, code, "no"))
    assert (failure.kind, failure.is_about_message) == (kind, is_about_message)


async def test_retry_after_is_passed_on() -> None:
    failure = await refusal(twilio_refused(429, 20429, "Too many requests", Retry_After="7"))
    assert failure.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"code": "many"}', b"\xff"])
async def test_a_rejection_without_a_code_is_a_provider_failure(body: bytes) -> None:
    assert (await refusal(answer(400, body))).kind is PROVIDER


async def test_an_error_text_is_sanitized_before_storage() -> None:
    failure = await refusal(answer(400, rb'{"code": 21211, "message": "a\u0000b\ud800' + b"c" * 600 + b'"}'))
    assert failure.error.startswith("HTTP 400 21211: a b c")
    assert len(failure.error) == 500


async def test_a_201_with_an_error_code_is_not_an_acceptance() -> None:
    reply = answer(201, b'{"sid": "SM1", "status": "failed", "error_code": 30005, "error_message": "Unknown"}')
    assert (await refusal(reply)).kind is RECIPIENT


async def test_an_acceptance_without_an_id_counts() -> None:
    async with HttpGateway(answer(201)) as gateway:
        assert await result_of(an_sms(), gateway) == Sent(f"twilio:127.0.0.1:{gateway.port}", None)
    async with HttpGateway(twilio_accepted("SM\\u0000" + "9" * 500)) as gateway:
        result = await result_of(an_sms(), gateway)
    assert isinstance(result, Sent)
    assert result.provider_message_id
    assert len(result.provider_message_id) == 200
