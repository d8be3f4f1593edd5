import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from outbox_relay.channels.base import ProviderDownError, Session
from outbox_relay.channels.http.generic_json import GenericJsonApi
from outbox_relay.channels.http.session import HttpResponse
from outbox_relay.failures.network import FailureCategory, category_of
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.vocabulary import Channel
from tests.support.certificates import Authority
from tests.support.http_gateway import ENDLESS, HttpGateway, Silence, answer
from tests.support.http_proxy import http_proxy
from tests.support.rendered_messages import ListSource, a_message
from tests.support.sms_sessions import session_at

pytestmark = pytest.mark.anyio

ACCEPTED = answer(202, b'{"id": "sms-1"}')


def an_sms() -> RenderedMessage:
    return a_message("+33612345678", "Voilà: 123456".encode(), Channel.SMS)


@asynccontextmanager
async def session_to(
    gateway: HttpGateway, *, scheme: str = "http+json", query: str = "", seconds: float = 10.0
) -> AsyncIterator[Session]:
    url = f"{scheme}://t%2Fken@127.0.0.1:{gateway.port}/sms{query}"
    async with session_at(url, seconds=seconds) as session:
        yield session


async def test_a_message_is_one_post_request_with_its_id_as_idempotency_key() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(ACCEPTED) as gateway, session_to(gateway) as session:
        await session.deliver(source)
    [request] = gateway.requests
    assert request.line == "POST /sms HTTP/1.1"
    assert request.headers["authorization"] == "Bearer t/ken"
    assert request.headers["idempotency-key"] == str(rendered.message.id)
    assert request.body == {"to": "+33612345678", "text": "Voilà: 123456", "id": str(rendered.message.id)}
    assert source.result(rendered) == Sent(f"http+json:127.0.0.1:{gateway.port}", "sms-1")


async def test_a_gateways_message_id_is_sanitized_before_storage() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    reply = answer(200, rb'{"id": "a\u0000b\ud800' + b"c" * 500 + b'"}')
    async with HttpGateway(reply) as gateway, session_to(gateway) as session:
        await session.deliver(source)
    assert source.result(rendered) == Sent(f"http+json:127.0.0.1:{gateway.port}", "a b " + "c" * 196)


async def test_many_messages_share_one_connection() -> None:
    messages = [an_sms() for _ in range(20)]
    source = ListSource(messages)
    async with HttpGateway(ACCEPTED) as gateway, session_to(gateway) as session:
        await session.deliver(source)
    assert [request.body["id"] for request in gateway.requests] == [str(rendered.message.id) for rendered in messages]
    assert all(isinstance(source.result(rendered), Sent) for rendered in messages)
    assert gateway.connections == 1


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(200), id="empty"),
        pytest.param(answer(200, b"OK"), id="text"),
        pytest.param(answer(200, b"[1]"), id="list"),
        pytest.param(answer(201, b'{"id": null}'), id="null"),
        pytest.param(answer(200, b'{"id": ' + b"[" * 10_000), id="deep"),
        pytest.param(answer(200, b"\xff\xfe"), id="binary"),
        pytest.param(ENDLESS, id="endless"),
    ],
)
async def test_the_status_alone_decides_acceptance(reply: bytes) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(reply) as gateway, session_to(gateway) as session:
        await session.deliver(source)
    assert source.result(rendered) == Sent(f"http+json:127.0.0.1:{gateway.port}", None)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(400, b'{"code": "bad"}'), FailureClass.CONTENT),
        (answer(422, b'{"code": "invalid_recipient"}'), FailureClass.RECIPIENT),
        (answer(401), FailureClass.PROVIDER),
        (answer(429), FailureClass.PROVIDER),
        (answer(503), FailureClass.PROVIDER),
    ],
)
async def test_a_rejection_has_its_failure_class_and_the_next_message_is_sent(reply: bytes, kind: FailureClass) -> None:
    refused, welcome = an_sms(), an_sms()
    source = ListSource([refused])
    async with HttpGateway(reply) as gateway, session_to(gateway) as session:
        await session.deliver(source)
        gateway.reply = ACCEPTED
        source.waiting.append(welcome)
        await session.deliver(source)
    assert (source.failure(refused).kind, source.failure(refused).maybe_accepted) == (kind, False)
    assert isinstance(source.result(welcome), Sent)


async def test_an_error_while_reading_a_response_costs_only_its_message_an_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_api: GenericJsonApi, _response: HttpResponse) -> Sent | Failure:
        monkeypatch.undo()
        raise OverflowError("too large")

    monkeypatch.setattr(GenericJsonApi, "interpret", fail)
    messages = [an_sms(), an_sms()]
    source = ListSource(messages)
    async with HttpGateway(ACCEPTED) as gateway, session_to(gateway) as session:
        await session.deliver(source)
    failure = source.failure(messages[0])
    assert (failure.kind, failure.maybe_accepted, failure.error) == (FailureClass.TRANSIENT, True, "too large")
    assert isinstance(source.result(messages[1]), Sent)


async def test_retry_after_is_passed_on() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(answer(429, Retry_After="90")) as gateway, session_to(gateway) as session:
        await session.deliver(source)
    assert source.failure(rendered).retry_after == timedelta(seconds=90)


async def test_a_redirect_is_not_followed() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(ACCEPTED) as elsewhere:
        redirect = answer(307, Location=f"http://127.0.0.1:{elsewhere.port}/sms")
        async with HttpGateway(redirect) as gateway, session_to(gateway) as session:
            await session.deliver(source)
    assert source.failure(rendered).kind is FailureClass.PROVIDER
    assert not elsewhere.requests


@pytest.mark.parametrize("silence", Silence)
async def test_without_a_response_the_message_may_have_arrived(silence: Silence) -> None:
    messages = [an_sms(), an_sms()]
    source = ListSource(messages)
    seconds = 0.5 if silence is Silence.HANG else 10.0
    async with HttpGateway(silence) as gateway, session_to(gateway, seconds=seconds) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
    failure = source.failure(messages[0])
    assert (failure.kind, failure.maybe_accepted) == (FailureClass.TRANSIENT, True)
    assert caught.value.failure.kind is FailureClass.PROVIDER
    assert list(source.waiting) == messages[1:]


async def test_a_refused_connection_means_that_the_message_was_not_submitted() -> None:
    async with HttpGateway(ACCEPTED) as gateway:
        pass
    await assert_not_submitted(gateway, "http+json")


async def test_a_connection_that_hangs_submits_nothing() -> None:
    async with HttpGateway(ACCEPTED) as deaf_to_tls:
        await assert_not_submitted(deaf_to_tls, "https+json", seconds=0.5)
    assert not deaf_to_tls.requests


async def test_a_gateway_with_an_untrusted_certificate_gets_nothing(authority: Authority) -> None:
    async with HttpGateway(ACCEPTED, authority.server_context("IP:127.0.0.1")) as gateway:
        await assert_not_submitted(gateway, "https+json")
    assert not gateway.requests


async def assert_not_submitted(gateway: HttpGateway, scheme: str, seconds: float = 10.0) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with session_to(gateway, scheme=scheme, seconds=seconds) as session:
        with pytest.raises(ProviderDownError):
            await session.deliver(source)
    assert (source.failure(rendered).kind, source.failure(rendered).maybe_accepted) == (FailureClass.PROVIDER, False)


async def test_tls_works_with_a_private_certificate_authority(authority: Authority) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with (
        HttpGateway(ACCEPTED, authority.server_context("IP:127.0.0.1")) as gateway,
        session_to(gateway, scheme="https+json", query=f"?ca={authority.file}") as session,
    ):
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)


async def test_a_cancelled_send_reports_that_the_message_may_have_arrived() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(Silence.HANG) as gateway, session_to(gateway) as session:
        carrying = asyncio.create_task(session.deliver(source))
        await gateway.has_request.wait()
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
    assert source.failure(rendered).maybe_accepted


async def test_plain_http_to_this_machine_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with HttpGateway(answer(500)) as proxy, HttpGateway(ACCEPTED) as gateway:
        for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with session_to(gateway) as session:
            await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)
    assert not proxy.requests


async def test_https_goes_through_the_proxy_of_the_environment_unless_no_proxy_names_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused, direct = an_sms(), an_sms()
    source = ListSource([refused])
    async with HttpGateway(answer(407)) as proxy, HttpGateway(ACCEPTED) as gateway:
        monkeypatch.setenv("HTTPS_PROXY", f"http://us:pw@127.0.0.1:{proxy.port}")
        async with session_to(gateway, scheme="https+json") as session:
            with pytest.raises(ProviderDownError):
                await session.deliver(source)
        [request] = proxy.requests
        assert request.line == f"CONNECT 127.0.0.1:{gateway.port} HTTP/1.1"
        assert request.headers["proxy-authorization"] == f"Basic {b64encode(b'us:pw').decode()}"
        failure = source.failure(refused)
        assert (failure.kind, failure.maybe_accepted) == (FailureClass.PROVIDER, False)
        assert failure.error == "HTTP 407 from the proxy: Proxy Authentication Required"
        assert category_of(failure.error) is FailureCategory.CREDENTIALS
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        source.waiting.append(direct)
        async with session_to(gateway, scheme="https+json", seconds=0.5) as session:
            with pytest.raises(ProviderDownError):  # the gateway knows no TLS
                await session.deliver(source)
        assert (len(proxy.requests), gateway.connections) == (1, 1)


async def test_messages_go_through_a_proxy_that_accepts(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    source, requests = ListSource([an_sms(), an_sms()]), list[str]()
    async with (
        HttpGateway(ACCEPTED, authority.server_context("IP:127.0.0.1")) as gateway,
        http_proxy(requests) as proxy,
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        async with session_to(gateway, scheme="https+json") as session:
            await session.deliver(source)
    assert [type(result) for result in source.results.values()] == [Sent, Sent]
    assert requests == [f"CONNECT 127.0.0.1:{gateway.port} HTTP/1.1"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://us:pw@127.0.0.1:port", "http://[::1"])
async def test_an_unusable_proxy_setting_is_named(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    source = ListSource([an_sms()])
    async with session_at("https+json://token@sms.example.org/sms") as session:
        with pytest.raises(ProviderDownError, match="HTTPS_PROXY or ALL_PROXY is not a URL with http or https"):
            await session.deliver(source)


async def test_the_authorities_of_ssl_cert_file_are_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    rendered = an_sms()
    source = ListSource([rendered])
    async with (
        HttpGateway(ACCEPTED, authority.server_context("IP:127.0.0.1")) as gateway,
        session_to(gateway, scheme="https+json") as session,
    ):
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)
