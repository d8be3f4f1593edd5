"""Access tokens: one for all connections, renewed before it ends, and a provider's failure if there is none."""

import asyncio
import os
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from outbox_relay.channels.base import Credentials, ProviderDownError
from outbox_relay.channels.smtp import tokens
from outbox_relay.channels.smtp.tokens import TokenError
from outbox_relay.failures.network import FailureCategory, category_of
from outbox_relay.metrics import PROVIDER_FAILURES
from outbox_relay.model import Failure, FailureClass, Sent
from tests.support.certificates import Authority
from tests.support.http_gateway import HttpGateway, Silence, answer
from tests.support.http_proxy import http_proxy
from tests.support.listening import listening
from tests.support.rendered_messages import ListSource, a_message
from tests.support.smtp_server import Moment, Script, SmtpServer
from tests.support.smtp_sessions import session_to
from tests.support.token_server import TokenServer, token_server

pytestmark = pytest.mark.anyio

NOBODY = 65534
OFFERS = ("PIPELINING", "AUTH PLAIN XOAUTH2")


@pytest.fixture
async def issuer() -> AsyncIterator[TokenServer]:
    async with token_server() as server:
        yield server


@pytest.fixture
async def server(issuer: TokenServer) -> AsyncIterator[SmtpServer]:
    async with SmtpServer(Script(OFFERS, tokens=issuer.living)) as server:
        yield server
        assert server.faults == []


def logins(server: SmtpServer) -> list[str]:
    return [command for command in server.commands if command.startswith("AUTH")]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def failure_of(server: SmtpServer, issuer: TokenServer, folder: Path) -> Failure:
    """Return the failure of a login, which costs no message."""
    source = ListSource([a_message()])
    async with session_to(server, login=issuer.login(folder)) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
    assert len(source.waiting) == 1
    assert caught.value.failure.kind is FailureClass.PROVIDER
    return caught.value.failure


async def test_all_connections_share_one_token(server: SmtpServer, issuer: TokenServer, tmp_path: Path) -> None:
    login = issuer.login(tmp_path)
    sources = [ListSource([a_message(f"user{n}@example.org")]) for n in range(4)]
    async with AsyncExitStack() as ending:
        sessions = [await ending.enter_async_context(session_to(server, login=login)) for _ in sources]
        await asyncio.gather(*(session.deliver(source) for session, source in zip(sessions, sources, strict=True)))
    assert len(server.messages) == 4
    sent = b64encode(b"user=ada@example.org\1auth=Bearer token-1\1\1").decode()
    assert logins(server) == [f"AUTH XOAUTH2 {sent}"] * 4
    assert issuer.forms == [
        {
            "client_id": "signpost",
            "client_secret": "s3cr3t",
            "grant_type": "client_credentials",
            "scope": "https://mail.google.com/",
        }
    ]


async def test_a_token_that_does_not_fit_into_the_command_follows_it(
    server: SmtpServer, issuer: TokenServer, tmp_path: Path
) -> None:
    issuer.padding = "x" * 3000
    rendered = a_message()
    source = ListSource([rendered])
    async with session_to(server, login=issuer.login(tmp_path)) as session:
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)
    assert logins(server) == ["AUTH XOAUTH2"]


async def test_a_token_is_renewed_before_it_ends(issuer: TokenServer, tmp_path: Path) -> None:
    source = issuer.source(tmp_path)
    first = await source.current()
    lifetime = first.expires_at - asyncio.get_running_loop().time()
    assert 3000 < first.renew_at - first.expires_at + lifetime < 3400
    assert await source.current() is first
    first.renew_at = 0
    assert (await source.current()).value == "token-2"


async def test_a_token_is_used_until_its_end_while_it_cannot_be_renewed(issuer: TokenServer, tmp_path: Path) -> None:
    counter = PROVIDER_FAILURES.labels("smtp:mail.example.org:587", FailureCategory.TOKEN.value)
    before = counter._value.get()  # noqa: SLF001 - the client has no other way to read it
    source = issuer.source(tmp_path)
    first = await source.current()
    first.renew_at = 0
    issuer.refuse(400, "invalid_grant", "revoked")
    assert await source.current() is first
    assert counter._value.get() == before + 1  # noqa: SLF001
    first.expires_at = 0
    with pytest.raises(TokenError, match=r"^token refused: invalid_grant: revoked \(HTTP 400\)$"):
        await source.current()


@pytest.mark.parametrize("lifetime", [None, "soon", -5, 0, "nan", 10**400])
def test_a_token_without_a_lifetime_is_taken_for_short_lived(lifetime: object) -> None:
    assert tokens.lifetime_in({"expires_in": lifetime}) == tokens.DEFAULT_LIFETIME_SECONDS
    assert tokens.lifetime_in({"expires_in": "3599"}) == 3599


def test_a_token_is_renewed_after_a_day_at_the_latest() -> None:
    assert tokens.lifetime_in({"expires_in": float("inf")}) == tokens.LONGEST_LIFETIME_SECONDS


async def test_a_drain_goes_on_with_a_new_token_after_the_first_one_ended(
    server: SmtpServer, issuer: TokenServer, tmp_path: Path
) -> None:
    messages = [a_message(f"user{n}@example.org") for n in range(10)]
    source = ListSource(messages)
    server.script.instead[Moment.MAIL] = iter([None] * 4 + [b"421 4.7.0 token expired"])
    async with session_to(server, login=issuer.login(tmp_path)) as session:
        with pytest.raises(ProviderDownError):
            await session.deliver(source)
        issuer.revoke_all()
        await session.deliver(source)
    results = [source.result(rendered) for rendered in messages]
    [failure] = [result for result in results if isinstance(result, Failure)]
    assert (failure.kind, failure.maybe_accepted) == (FailureClass.PROVIDER, False)
    assert len(server.messages) == 9
    assert len(issuer.forms) == 2
    assert len(logins(server)) == 3  # the second one was refused, and tried again at once


async def test_a_connection_is_not_used_beyond_the_end_of_its_token(
    server: SmtpServer, issuer: TokenServer, tmp_path: Path
) -> None:
    issuer.lifetime = 1e-6
    async with session_to(server, login=issuer.login(tmp_path)) as session:
        for _ in range(2):
            await session.deliver(ListSource([a_message()]))
    assert len(server.messages) == 2
    assert len(logins(server)) == server.connections == 2


async def test_a_new_token_that_the_server_refuses_is_not_presented_again(
    server: SmtpServer, issuer: TokenServer, tmp_path: Path
) -> None:
    server.script.tokens = set()
    failure = await failure_of(server, issuer, tmp_path)
    assert failure.error == 'AUTH: 535 5.7.8 authentication failed {"status":"invalid_token"}'
    assert category_of(failure.error) is FailureCategory.CREDENTIALS
    assert len(logins(server)) == 1


async def test_a_refused_request_names_the_reason_but_no_secret(
    server: SmtpServer, issuer: TokenServer, tmp_path: Path
) -> None:
    issuer.refuse(401, "invalid_client", "AADSTS7000215: s3cr3t is not a client secret")
    failure = await failure_of(server, issuer, tmp_path)
    assert failure.error == "token refused: invalid_client: AADSTS7000215: … is not a client secret (HTTP 401)"
    assert category_of(failure.error) is FailureCategory.TOKEN
    assert server.connections == 0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(503, b"busy", Retry_After="7"), "token request failed: the response has no token (HTTP 503)"),
        (
            answer(400, b'{"error": "temporarily_unavailable"}'),
            "token request failed: temporarily_unavailable (HTTP 400)",
        ),
        (b"hello\r\n\r\n", "token request failed: the response is not HTTP: "),
        (Silence.CLOSE, "token request failed: "),
        (answer(302, Location="https://elsewhere.example/"), "token refused: the response has no token (HTTP 302)"),
        (answer(200, b"[]"), "token refused: the response has no token (HTTP 200)"),
        (
            answer(404, b'{"error": {"code": 404, "message": "not here"}}'),
            "token refused: the response has no token (HTTP 404)",
        ),
        (answer(200, b'{"access_token": ""}'), "token refused: the response has no token (HTTP 200)"),
        (answer(200, b'{"access_token": "a\\u0001b"}'), "token refused: the response has no token (HTTP 200)"),
    ],
)
async def test_an_endpoint_without_a_token_is_a_provider_failure(
    server: SmtpServer, issuer: TokenServer, tmp_path: Path, reply: bytes | Silence, error: str
) -> None:
    issuer.reply = reply
    failure = await failure_of(server, issuer, tmp_path)
    assert failure.error.startswith(error)
    assert (failure.retry_after is not None) == ("503" in error)


async def test_the_token_endpoint_proves_its_name(server: SmtpServer, authority: Authority, tmp_path: Path) -> None:
    rendered = a_message()
    source = ListSource([rendered])
    async with token_server(authority.server_context("IP:127.0.0.1")) as issuer:
        server.script.tokens = issuer.living
        issuer.trusted = ssl.create_default_context()
        failure = await failure_of(server, issuer, tmp_path)
        assert failure.error.startswith("token request failed: certificate not trusted: ")
        assert category_of(failure.error) is FailureCategory.CERTIFICATE
        issuer.trusted = authority.client_context()
        async with session_to(server, login=issuer.login(tmp_path)) as session:
            await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)


async def test_token_requests_go_through_the_proxy_of_the_environment_unless_no_proxy_names_the_host(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[str] = []
    async with (
        token_server(authority.server_context("IP:127.0.0.1")) as issuer,
        HttpGateway(answer(407)) as refusing,
        http_proxy(requests) as proxy,
    ):
        issuer.trusted = authority.client_context()
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        assert (await issuer.source(tmp_path).current()).value == "token-1"
        assert requests == [f"CONNECT 127.0.0.1:{issuer.gateway.port} HTTP/1.1"]
        monkeypatch.setenv("HTTPS_PROXY", f"http://us:pw@127.0.0.1:{refusing.port}")
        with pytest.raises(TokenError, match=r"^token request failed: HTTP 407 from the proxy: [A-Za-z ]+$"):
            await issuer.source(tmp_path).current()
        monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
        with pytest.raises(TokenError, match=r"^token request failed: HTTPS_PROXY or ALL_PROXY is not a URL"):
            await issuer.source(tmp_path).current()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert (await issuer.source(tmp_path).current()).value == "token-2"


async def test_a_login_does_not_wait_for_a_silent_endpoint_for_ever(
    server: SmtpServer, issuer: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LONGEST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(tokens, "REQUEST_SECONDS", 0.2)  # ends the thread
    issuer.reply = Silence.HANG
    failure = await failure_of(server, issuer, tmp_path)
    assert failure.error == "token request failed: no response in time"


async def test_an_endpoint_that_responds_byte_by_byte_does_not_block_later_requests(
    issuer: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    monkeypatch.setattr(tokens, "LONGEST_REQUEST_SECONDS", 0.2)
    source = issuer.source(tmp_path)
    async with listening(drip) as port:
        monkeypatch.setattr(source, "_endpoint", replace(source._endpoint, url=f"http://127.0.0.1:{port}/"))  # noqa: SLF001
        with pytest.raises(TokenError, match="token request failed: no whole response in time"):
            await source.current()


async def test_a_new_refresh_token_replaces_the_one_in_the_file(issuer: TokenServer, tmp_path: Path) -> None:
    source, file = issuer.source(tmp_path, refresh_token="old"), tmp_path / "refresh-token"
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, NOBODY, NOBODY)
    before = file.stat()
    issuer.rotates = True
    first = await source.current()
    after = file.stat()
    assert file.read_text() == "old+\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert names_in(tmp_path) == ["client-secret", "refresh-token"]
    first.is_refused = True
    await source.current()
    file.write_text("from the operator\n")
    issuer.rotates = False
    (await source.current()).is_refused = True
    await source.current()
    assert [form["refresh_token"] for form in issuer.forms] == ["old", "old+", "from the operator"]


async def test_a_malformed_refresh_token_does_not_replace_the_one_in_the_file(
    issuer: TokenServer, tmp_path: Path
) -> None:
    issuer.reply = answer(200, b'{"access_token": "token", "refresh_token": "\\ud800"}')
    assert (await issuer.source(tmp_path, refresh_token="old").current()).value == "token"
    assert (tmp_path / "refresh-token").read_text() == "old\n"
    assert names_in(tmp_path) == ["client-secret", "refresh-token"]


async def test_a_refresh_token_that_cannot_be_stored_is_used_until_the_end_of_the_process(
    issuer: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(tokens, "_replace", refuse)  # root may write everywhere
    source = issuer.source(tmp_path, refresh_token="old")
    issuer.rotates = True
    (await source.current()).is_refused = True
    await source.current()
    assert [form["refresh_token"] for form in issuer.forms] == ["old", "old+"]


async def test_a_secret_that_is_gone_is_a_provider_failure(
    server: SmtpServer, issuer: TokenServer, tmp_path: Path
) -> None:
    login = issuer.login(tmp_path)
    (tmp_path / "client-secret").unlink()
    async with session_to(server, login=login) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(ListSource([a_message()]))
    assert caught.value.failure.error == (
        f"token refused: {tmp_path / 'client-secret'} cannot be read: FileNotFoundError"
    )


@pytest.mark.parametrize(
    ("offers", "mechanism"),
    [
        ("CRAM-MD5 SCRAM-SHA-256 LOGIN PLAIN", "PLAIN"),
        ("CRAM-MD5 SCRAM-SHA-256 LOGIN", "LOGIN"),
        ("CRAM-MD5 SCRAM-SHA-256", "SCRAM-SHA-256"),
        ("CRAM-MD5 GSSAPI", "CRAM-MD5"),
    ],
)
async def test_a_challenge_is_used_only_if_the_server_offers_nothing_simpler(offers: str, mechanism: str) -> None:
    async with (
        SmtpServer(Script((f"AUTH {offers}",))) as server,
        session_to(server, credentials=Credentials("relay", "pencil")) as session,
    ):
        if "LOGIN" in offers:
            await session.deliver(ListSource([]))
        else:  # this server accepts without a challenge, so it has not checked the password
            with pytest.raises(ProviderDownError, match="the server accepted the login before"):
                await session.deliver(ListSource([]))
    assert logins(server)[0].split()[1] == mechanism
