"""Logins at a Postfix that checks them with Dovecot, and access tokens of a real OAuth2 server."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from outbox_relay.channels.base import Provider, ProviderDownError
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.model import Sent
from shared.vocabulary import Channel
from tests.support.dovecot import PASSWORD, dovecot_authentication
from tests.support.eventually import eventually
from tests.support.oauth_server import MAILBOX, OAuthServer, oauth_server
from tests.support.outbox import Outbox
from tests.support.postfix import Postfix, postfix
from tests.support.processes import completed
from tests.support.relays import relay_environment, running_relay
from tests.support.rendered_messages import ListSource, a_message

pytestmark = pytest.mark.anyio

MECHANISMS = "plain login scram-sha-256 cram-md5 xoauth2 oauthbearer"
CONTEXT = DeliveryContext(sender=MAILBOX, timeout=timedelta(seconds=20))
DEFERRED = "select count(*) from outbox_messages where status = 'pending' and attempt = 0"
LOST = "select count(*) from outbox_messages where status = 'dead' or attempt > 1"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OAuthServer]:
    with oauth_server(tmp_path_factory.mktemp("oauth"), lifetime=3) as server:
        yield server


@pytest.fixture(scope="module")
def server(issuer: OAuthServer) -> Iterator[Postfix]:
    introspection = f"http://mailserver:secret-of-the-server@{issuer.address}/token/introspection"
    with (
        dovecot_authentication(MECHANISMS, introspection) as socket,
        postfix(
            mynetworks="",
            smtpd_relay_restrictions="permit_sasl_authenticated, reject",
            smtpd_error_sleep_time="0",
            smtpd_sasl_auth_enable="yes",
            smtpd_sasl_type="dovecot",
            smtpd_sasl_path=str(socket),
        ) as server,
    ):
        yield server


def url(server: Postfix, auth: str, options: str = "", password: str = "") -> str:
    user = quote(MAILBOX, safe="") + (f":{quote(password, safe='')}" if password else "")
    return f"smtp://{user}@127.0.0.1:{server.port}?tls=none&auth={auth}&{options}"


def provider(url: str) -> Provider:
    [capped] = providers_from(url, Channel.EMAIL, CONTEXT)
    return capped.provider


async def send(provider: Provider) -> Sent:
    rendered = a_message()
    source = ListSource([rendered])
    session = provider.session()
    try:
        await session.deliver(source)
    finally:
        await session.close()
    result = source.result(rendered)
    assert isinstance(result, Sent)
    return result


async def error_of(provider: Provider) -> str:
    with pytest.raises(ProviderDownError) as caught:
        await send(provider)
    return caught.value.failure.error


async def wait_for_login(server: Postfix, mechanism: str) -> None:
    """Postfix logs through a process of its own, so its log may follow its reply."""
    login = f"sasl_method={mechanism.upper()}, sasl_username={MAILBOX}"
    await asyncio.to_thread(eventually, lambda: login in (server.folder / "log").read_text())


@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256", "cram-md5"])
async def test_a_password_logs_in_by_each_mechanism(server: Postfix, mechanism: str) -> None:
    await send(provider(url(server, mechanism, password=PASSWORD)))
    await wait_for_login(server, mechanism)
    assert (await error_of(provider(url(server, mechanism, password="wrong")))).startswith("AUTH: 535 5.7.8 ")


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
async def test_an_access_token_logs_in(server: Postfix, issuer: OAuthServer, tmp_path: Path, mechanism: str) -> None:
    address = url(server, mechanism, issuer.options(tmp_path))
    await send(provider(address))
    await wait_for_login(server, mechanism)
    error = await error_of(provider(address.replace(quote(MAILBOX, safe=""), "ada%40example.org")))
    assert error.startswith("AUTH: 535 5.7.8 ")
    assert '{"status":"' in error


async def test_each_new_refresh_token_is_stored_for_the_next_start(
    server: Postfix, issuer: OAuthServer, tmp_path: Path
) -> None:
    first = issuer.refresh_token("rotating")
    address = url(server, "xoauth2", issuer.options(tmp_path, refresh_token=first, client="rotating"))
    for _ in range(3):  # this server revokes the grant if a token is used twice
        await send(provider(address))
    assert (tmp_path / "refresh_token_file").read_text().strip() != first


def test_a_drain_goes_on_while_its_tokens_expire(
    server: Postfix, issuer: OAuthServer, outbox: Outbox, tmp_path: Path
) -> None:
    before = len(issuer.all("issued"))

    def has_renewed() -> bool:
        outbox.put(count=10)
        return len(issuer.all("issued")) >= before + 3

    with running_relay(outbox.database, EMAIL_PROVIDERS=url(server, "xoauth2", issuer.options(tmp_path))) as relay:
        eventually(has_renewed)
        eventually(outbox.is_all_sent)
        assert relay.logged("provider down") == []
    assert outbox.number(LOST) == 0


def test_a_revoked_refresh_token_opens_the_breaker_and_kills_no_message(
    server: Postfix, issuer: OAuthServer, outbox: Outbox, tmp_path: Path
) -> None:
    def is_down() -> bool:
        outbox.put()
        return bool(relay.logged("provider down"))

    token = issuer.refresh_token()
    address = url(server, "xoauth2", issuer.options(tmp_path, refresh_token=token))
    with running_relay(outbox.database, EMAIL_PROVIDERS=address) as relay:
        outbox.put()
        eventually(outbox.is_all_sent)
        issuer.revoke(token)
        eventually(is_down)
        assert relay.logged("provider down")[0]["error"].startswith("token refused: invalid_grant")
        outbox.put(count=5)
        eventually(lambda: outbox.number(DEFERRED) >= 5)
        series = f'signpost_provider_failures_total{{category="token",provider="{server.name}"}} '
        assert float(relay.get("/metrics").text.partition(series)[2].split()[0]) > 0
        assert outbox.number(LOST) == 0
        (tmp_path / "refresh_token_file").write_text(issuer.refresh_token())
        outbox.execute("update outbox_messages set due_at = now() where status = 'pending'")
        eventually(outbox.is_all_sent)
        assert relay.logged("provider up again")
    assert outbox.number(LOST) == 0


@pytest.mark.parametrize("command", [("check-settings", "--connect"), ("send-test", "ada@example.org")])
def test_the_commands_explain_a_wrong_client_secret(
    issuer: OAuthServer, outbox: Outbox, tmp_path: Path, command: tuple[str, ...]
) -> None:
    address = f"smtp://ada@127.0.0.1:1?tls=none&auth=xoauth2&{issuer.options(tmp_path, secret='hunter2')}"
    environment = relay_environment(outbox.database, EMAIL_PROVIDERS=address)
    done = completed(("outbox-relay", *command), environment)
    assert done.returncode == 1
    assert "token refused: invalid_client: " in done.stdout
    assert "\n  The token endpoint does not accept client_id with the secret in client_secret_file." in done.stdout
    assert "hunter2" not in done.stdout
