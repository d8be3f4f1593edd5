"""Common behaviour of all HTTP gateways except generic JSON, which test_http_json.py covers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from outbox_relay.channels.base import ProviderDownError, Session
from outbox_relay.failures.network import FailureCategory, category_of
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.vocabulary import Channel
from tests.support.certificates import Authority
from tests.support.http_gateway import HttpGateway, Reply, Silence, answer
from tests.support.rendered_messages import ListSource, a_message
from tests.support.sms_responses import kannel, twilio
from tests.support.sms_sessions import session_at

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class GatewayKind:
    user: str
    accepts: Reply


FACES = {"twilio": GatewayKind("twilio://AC1:t%2Fken", twilio), "kannel": GatewayKind("kannel://us:p%26ss", kannel)}


@pytest.fixture(params=FACES)
def kind(request: pytest.FixtureRequest) -> GatewayKind:
    return FACES[request.param]


def an_sms() -> RenderedMessage:
    return a_message("+33612345678", b"Your code is 123456", Channel.SMS)


@asynccontextmanager
async def session_to(
    kind: GatewayKind, gateway: HttpGateway, *, query: str = "&tls=none", seconds: float = 10.0
) -> AsyncIterator[Session]:
    url = f"{kind.user}@127.0.0.1:{gateway.port}?from=32665{query}"
    async with session_at(url, seconds=seconds) as session:
        yield session


async def test_many_messages_share_one_connection(kind: GatewayKind) -> None:
    messages = [an_sms() for _ in range(20)]
    source = ListSource(messages)
    async with HttpGateway(kind.accepts) as gateway, session_to(kind, gateway) as session:
        await session.deliver(source)
    assert all(isinstance(source.result(rendered), Sent) for rendered in messages)
    assert (len(gateway.requests), gateway.connections) == (20, 1)


@pytest.mark.parametrize("silence", Silence)
async def test_without_a_response_the_message_may_have_arrived(kind: GatewayKind, silence: Silence) -> None:
    messages = [an_sms(), an_sms()]
    source = ListSource(messages)
    seconds = 0.5 if silence is Silence.HANG else 10.0
    async with HttpGateway(silence) as gateway, session_to(kind, gateway, seconds=seconds) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
    failure = source.failure(messages[0])
    assert (failure.kind, failure.maybe_accepted) == (FailureClass.TRANSIENT, True)
    assert caught.value.failure.kind is FailureClass.PROVIDER
    assert list(source.waiting) == messages[1:]


@pytest.mark.parametrize("place", ["https://xn--ls8h.la/", "mailto:x", "http://[zz]/", "http://\N{SNOWMAN}/"])
async def test_a_redirect_of_a_gateway_is_not_followed(kind: GatewayKind, place: str) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(answer(302, Location=place)) as gateway, session_to(kind, gateway) as session:
        await session.deliver(source)
    assert (source.failure(rendered).kind, source.failure(rendered).maybe_accepted) == (FailureClass.PROVIDER, False)
    assert source.failure(rendered).error.startswith("HTTP 302")


@pytest.mark.parametrize("cookie", ["a=b", "a=b; max-age=\N{SUPERSCRIPT TWO}"])
async def test_no_cookie_is_stored(kind: GatewayKind, cookie: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with (
        HttpGateway(answer(500, Set_Cookie=cookie)) as gateway,
        session_to(kind, gateway) as session,
    ):
        await session.deliver(ListSource([an_sms(), an_sms()]))
    assert [request.headers.get("cookie") for request in gateway.requests] == [None, None]
    assert capfd.readouterr().err == ""


async def test_a_response_that_is_not_http_shows_no_password(kind: GatewayKind) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(b"220 mail.example.org ESMTP\r\n\r\n") as gateway, session_to(kind, gateway) as session:
        with pytest.raises(ProviderDownError):
            await session.deliver(source)
    failure = source.failure(rendered)
    assert failure.maybe_accepted
    assert failure.error.startswith("the response is not HTTP: ")
    assert [secret for secret in ("p%26ss", "p&ss", "t%2Fken", "t/ken") if secret in failure.error] == []


async def test_a_refused_connection_means_that_the_message_was_not_submitted(kind: GatewayKind) -> None:
    async with HttpGateway(kind.accepts) as gateway:
        pass
    failure = await assert_not_submitted(kind, gateway, "&tls=none")
    assert failure.error.startswith("connection refused: ")


async def test_a_connection_that_hangs_submits_nothing(kind: GatewayKind) -> None:
    async with HttpGateway(kind.accepts) as deaf_to_tls:
        failure = await assert_not_submitted(kind, deaf_to_tls, "", seconds=0.5)
    assert failure.error == "no response in time"
    assert not deaf_to_tls.requests


async def test_a_gateway_with_an_untrusted_certificate_gets_nothing(kind: GatewayKind, authority: Authority) -> None:
    async with HttpGateway(kind.accepts, authority.server_context("IP:127.0.0.1")) as gateway:
        failure = await assert_not_submitted(kind, gateway, "")
    assert category_of(failure.error) is FailureCategory.CERTIFICATE
    assert not gateway.requests


async def test_tls_works_with_a_private_certificate_authority(kind: GatewayKind, authority: Authority) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with (
        HttpGateway(kind.accepts, authority.server_context("IP:127.0.0.1")) as gateway,
        session_to(kind, gateway, query=f"&ca={authority.file}") as session,
    ):
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)


async def test_a_cancelled_send_reports_that_the_message_may_have_arrived(kind: GatewayKind) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(Silence.HANG) as gateway, session_to(kind, gateway) as session:
        carrying = asyncio.create_task(session.deliver(source))
        await gateway.has_request.wait()
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
    assert source.failure(rendered).maybe_accepted


async def assert_not_submitted(kind: GatewayKind, gateway: HttpGateway, query: str, seconds: float = 10.0) -> Failure:
    rendered = an_sms()
    source = ListSource([rendered])
    async with session_to(kind, gateway, query=query, seconds=seconds) as session:
        with pytest.raises(ProviderDownError):
            await session.deliver(source)
    failure = source.failure(rendered)
    assert (failure.kind, failure.maybe_accepted) == (FailureClass.PROVIDER, False)
    return failure
