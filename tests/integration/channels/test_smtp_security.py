import asyncio
import ssl
from base64 import b64encode

import pytest

from outbox_relay.channels.base import Credentials, ProviderDownError
from outbox_relay.channels.smtp.login import password_login
from outbox_relay.channels.smtp.session import Server, Tls
from outbox_relay.model import FailureClass, Sent
from tests.support.certificates import Authority
from tests.support.rendered_messages import ListSource, a_message
from tests.support.smtp_server import End, Moment, Script, SmtpServer
from tests.support.smtp_sessions import LONG_TIMEOUT, SHORT_TIMEOUT, session_to

pytestmark = pytest.mark.anyio

LOCALHOST = "IP:127.0.0.1"
UNREADABLE = "DER:30:0D:87:04:7F:00:00:01:82:05:61:FF:62:2E:63"
"""Alternative names: 127.0.0.1, and a host name with a byte that is invalid UTF-8."""
STARTTLS = ("PIPELINING", "STARTTLS", "AUTH PLAIN LOGIN")
CREDENTIALS = Credentials("relay", "pa55 wörd")
PLAIN = b64encode("\0relay\0pa55 wörd".encode()).decode()


async def assert_is_down(server: SmtpServer, context: ssl.SSLContext | None, smtp_timeout: float = LONG_TIMEOUT) -> str:
    """Check that the server receives not even an envelope, and return the error."""
    source = ListSource([a_message()])
    async with session_to(
        server, tls=Tls.STARTTLS, context=context, credentials=CREDENTIALS, smtp_timeout=smtp_timeout
    ) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
    assert len(source.waiting) == 1
    assert caught.value.failure.kind is FailureClass.PROVIDER
    assert not any(command.startswith(("MAIL", "RCPT", "DATA")) for command in server.commands)
    assert_no_credentials_in(bytes(server.in_clear))
    return caught.value.failure.error


def assert_no_credentials_in(text: bytes) -> None:
    for secret in (b"AUTH", PLAIN.encode(), b64encode(b"relay"), b64encode("pa55 wörd".encode())):
        assert secret not in text


async def test_with_starttls_only_ehlo_is_unencrypted(authority: Authority) -> None:
    rendered = a_message()
    source = ListSource([rendered])
    async with (
        SmtpServer(Script(STARTTLS, tls=authority.server_context(LOCALHOST))) as server,
        session_to(server, tls=Tls.STARTTLS, context=authority.client_context(), credentials=CREDENTIALS) as session,
    ):
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)
    assert server.messages == [("ada@example.org", rendered.content)]
    assert f"AUTH PLAIN {PLAIN}" in server.commands
    assert [line.split()[0] for line in bytes(server.in_clear).splitlines()] == [b"EHLO", b"STARTTLS"]


async def test_with_implicit_tls_everything_is_encrypted(authority: Authority) -> None:
    messages = [a_message(f"user{n}@example.org") for n in range(20)]
    source = ListSource(messages)
    script = Script(tls=authority.server_context(LOCALHOST), is_encrypted=True)
    async with (
        SmtpServer(script) as server,
        session_to(server, tls=Tls.IMPLICIT, context=authority.client_context()) as session,
    ):
        await session.deliver(source)
    assert all(isinstance(source.result(rendered), Sent) for rendered in messages)
    assert not server.in_clear


async def test_an_untrusted_certificate_is_rejected(authority: Authority) -> None:
    async with SmtpServer(Script(STARTTLS, tls=authority.server_context(LOCALHOST))) as server:
        error = await assert_is_down(server, ssl.create_default_context())
    assert "certificate verify failed" in error


async def test_a_certificate_for_another_host_is_rejected(authority: Authority) -> None:
    async with SmtpServer(Script(STARTTLS, tls=authority.server_context("DNS:mail.example.org"))) as server:
        error = await assert_is_down(server, authority.client_context())
    assert "certificate verify failed" in error


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
async def test_a_certificate_with_an_unreadable_name_is_a_provider_failure(authority: Authority, tls: Tls) -> None:
    is_encrypted = tls is Tls.IMPLICIT
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # asyncio reports the error, too
    script = Script(STARTTLS, tls=authority.server_context(UNREADABLE), is_encrypted=is_encrypted)
    source = ListSource([a_message()])
    async with SmtpServer(script) as server, session_to(server, tls=tls, context=authority.client_context()) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
    assert caught.value.failure.error == "the server's certificate has a name that cannot be read"
    assert len(source.waiting) == 1


async def test_an_untrusted_certificate_is_rejected_with_implicit_tls_too(authority: Authority) -> None:
    script = Script(tls=authority.server_context(LOCALHOST), is_encrypted=True)
    source = ListSource([a_message()])
    async with (
        SmtpServer(script) as server,
        session_to(server, tls=Tls.IMPLICIT, context=ssl.create_default_context()) as session,
    ):
        with pytest.raises(ProviderDownError):
            await session.deliver(source)
    assert len(source.waiting) == 1
    assert not server.commands


async def test_a_server_without_starttls_gets_nothing() -> None:
    async with SmtpServer(Script(("PIPELINING", "AUTH PLAIN"))) as server:
        error = await assert_is_down(server, ssl.create_default_context())
    assert error == "the server does not offer STARTTLS"


@pytest.mark.parametrize("injected", [b"250 AUTH PLAIN", b"250-AUTH PLAIN"], ids=["whole", "begun"])
async def test_plaintext_injected_after_the_starttls_reply_is_discarded(authority: Authority, injected: bytes) -> None:
    script = Script(STARTTLS, tls=authority.server_context(LOCALHOST))
    script.instead[Moment.STARTTLS] = b"220 go ahead\r\n" + injected
    async with SmtpServer(script) as server:
        await assert_is_down(server, authority.client_context())


@pytest.mark.parametrize("end", End)
async def test_a_break_during_tls_setup_is_a_provider_failure(authority: Authority, end: End) -> None:
    async def break_off(moment: Moment) -> None:
        async with SmtpServer(Script(STARTTLS, tls=context, instead={moment: end})) as server:
            await assert_is_down(server, authority.client_context(), SHORT_TIMEOUT if end is End.HANG else LONG_TIMEOUT)

    context = authority.server_context(LOCALHOST)
    await asyncio.gather(*(break_off(moment) for moment in (Moment.STARTTLS, Moment.HANDSHAKE, Moment.AUTH)))


async def test_a_rejected_login_is_a_provider_failure(authority: Authority) -> None:
    script = Script(STARTTLS, tls=authority.server_context(LOCALHOST), instead={Moment.AUTH: b"535 5.7.8 wrong"})
    async with SmtpServer(script) as server:
        assert await assert_is_down(server, authority.client_context()) == "AUTH: 535 5.7.8 wrong"


async def test_without_a_supported_auth_mechanism_nothing_is_sent(authority: Authority) -> None:
    script = Script(("STARTTLS", "AUTH GSSAPI"), tls=authority.server_context(LOCALHOST))
    async with SmtpServer(script) as server:
        await assert_is_down(server, authority.client_context())


async def test_auth_login_is_used_if_plain_is_not_offered() -> None:
    rendered = a_message()
    source = ListSource([rendered])
    async with (
        SmtpServer(Script(("AUTH LOGIN",))) as server,
        session_to(server, credentials=CREDENTIALS) as session,
    ):
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)
    words = [b64encode(word.encode()).decode() for word in (CREDENTIALS.user, CREDENTIALS.password)]
    assert server.commands[1:4] == ["AUTH LOGIN", *words]


def test_unencrypted_credentials_are_sent_to_loopback_only() -> None:
    with pytest.raises(ValueError, match="in clear"):
        Server("smtp:mail.example.org:25", "mail.example.org", 25, Tls.NONE, password_login(CREDENTIALS), None, 1.0)
    assert Server("smtp:127.0.0.1:25", "127.0.0.1", 25, Tls.NONE, password_login(CREDENTIALS), None, 1.0).login
