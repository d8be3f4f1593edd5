import pytest

from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.vocabulary import Channel
from tests.support.http_gateway import HttpGateway, Reply, answer
from tests.support.rendered_messages import a_message
from tests.support.sms_responses import KANNEL_QUEUED, NOT_ROUTABLE, TEMPORAL_FAILURE, kannel
from tests.support.sms_sessions import result_through

pytestmark = pytest.mark.anyio

RECIPIENT, CONTENT, TRANSIENT, PROVIDER = FailureClass


def an_sms(recipient: str = "+33612345678", text: str = "Voilà: 123456 & more") -> RenderedMessage:
    return a_message(recipient, text.encode(), Channel.SMS)


async def result_of(
    rendered: RenderedMessage, gateway: HttpGateway, user: str = "us:p%26ss", query: str = "&from=Signpost"
) -> Sent | Failure:
    url = f"kannel://{user}@127.0.0.1:{gateway.port}?tls=none{query}"
    return await result_through(url, rendered)


async def test_a_message_is_one_sendsms_request() -> None:
    async with HttpGateway(kannel) as gateway:
        result = await result_of(an_sms(), gateway)
    [request] = gateway.requests
    assert request.fields == {
        "username": "us",
        "password": "p&ss",
        "from": "Signpost",
        "to": "+33612345678",
        "text": "Voilà: 123456 & more",
        "coding": "0",
        "charset": "UTF-8",
    }
    assert result == Sent(f"kannel:127.0.0.1:{gateway.port}")


@pytest.mark.parametrize(("valid_seconds", "minutes"), [(0.4, "1"), (119.9, "1"), (600.0, "10"), (259_200.0, "4320")])
async def test_a_message_is_valid_until_its_code_expires(valid_seconds: float, minutes: str) -> None:
    async with HttpGateway(kannel) as gateway:
        await result_of(a_message("+33612345678", b"123456", Channel.SMS, valid_seconds), gateway)
    assert gateway.requests[0].fields["validity"] == minutes


async def test_a_text_outside_gsm_7_is_sent_as_ucs_2() -> None:
    async with HttpGateway(kannel) as gateway:
        result = await result_of(an_sms(text="Код: 123456"), gateway)
    assert isinstance(result, Sent)
    assert (gateway.requests[0].fields["coding"], gateway.requests[0].fields["text"]) == ("2", "Код: 123456")


@pytest.mark.parametrize("reply", [KANNEL_QUEUED, answer(202, b"Sent."), answer(200, b"0: Accepted for delivery")])
async def test_a_message_that_kannel_accepts_is_sent(reply: bytes) -> None:
    async with HttpGateway(reply) as gateway:
        assert isinstance(await result_of(an_sms(), gateway), Sent)


async def test_an_acceptance_without_an_end_counts() -> None:
    async with HttpGateway(b"HTTP/1.1 200 OK\r\n\r\n0: Accepted for delivery") as gateway:
        assert isinstance(await result_of(an_sms(), gateway), Sent)


@pytest.mark.parametrize("words", [b"", b"0: Acc"])
async def test_after_a_truncated_200_the_message_may_have_arrived(words: bytes) -> None:
    failure = await refusal(answer(200, words))
    assert (failure.kind, failure.maybe_accepted) == (TRANSIENT, True)


async def test_a_200_from_another_server_is_not_an_acceptance() -> None:
    failure = await refusal(answer(200, b"<html>Log in to the Wi-Fi</html>"))
    assert failure.kind is PROVIDER


async def test_a_number_that_kannel_denies_is_a_recipient_failure() -> None:
    async with HttpGateway(kannel) as gateway:
        result = await result_of(an_sms("+15005550001"), gateway)
    assert isinstance(result, Failure)
    assert (result.kind, result.maybe_accepted) == (RECIPIENT, False)


async def test_wrong_credentials_and_a_missing_sender_are_provider_failures() -> None:
    async with HttpGateway(kannel) as gateway:
        results = [await result_of(an_sms(), gateway, user="us:wrong"), await result_of(an_sms(), gateway, query="")]
    for result in results:
        assert isinstance(result, Failure)
        assert (result.kind, result.is_about_message) == (PROVIDER, False)


@pytest.mark.parametrize(
    ("reply", "kind", "is_about_message"),
    [
        (NOT_ROUTABLE, PROVIDER, True),
        (TEMPORAL_FAILURE, PROVIDER, False),
        (answer(400, b"Charset or body misformed, rejected"), CONTENT, True),
        (answer(400, b"Something new"), PROVIDER, True),
        (answer(500, b"Sending failed."), PROVIDER, True),
        (answer(404, b"Unknown request."), PROVIDER, False),
        (answer(307, Location="http://127.0.0.1:1/"), PROVIDER, False),
    ],
)
async def test_kannels_texts_determine_the_failure_class(
    reply: bytes, kind: FailureClass, *, is_about_message: bool
) -> None:
    failure = await refusal(reply)
    assert (failure.kind, failure.is_about_message) == (kind, is_about_message)


async def refusal(reply: Reply) -> Failure:
    async with HttpGateway(reply) as gateway:
        result = await result_of(an_sms(), gateway)
    assert isinstance(result, Failure)
    return result
