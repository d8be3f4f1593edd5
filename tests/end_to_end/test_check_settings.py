"""`check-settings` warns of misspelt settings, and tries connections."""

import asyncio
from pathlib import Path

import pytest
from click.testing import Result

from devstack.cluster import Cluster
from tests.support.commands import run_here
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.forwarding import unused_port
from tests.support.http_gateway import HttpGateway, answer
from tests.support.keys import PUBLIC_URL, SECRET_KEYS
from tests.support.mail_sink import MailSink
from tests.support.smsc import Smsc
from tests.support.smtp_script import Moment, Script
from tests.support.smtp_server import SmtpServer

pytestmark = pytest.mark.slow

MISSPELT = {
    "api-service": ("API_WORKER", "API_WORKERS"),
    "operator-console": ("CONSOLE_THREAD", "CONSOLE_THREADS"),
    "outbox-relay": ("RELAY_BATCHSIZE", "RELAY_BATCH_SIZE"),
    "signpost-receiver": ("BOUNCE_IMAP_SECOND", "BOUNCE_IMAP_SECONDS"),
}
WRONG_PASSWORD = 14
"""ESME_RINVPASWD."""


def check(program: str, *options: str, **settings: str) -> Result:
    environment = {
        "DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/signpost",
        "SECRET_KEYS": SECRET_KEYS,
        "FEEDBACK_KEYS": SECRET_KEYS,
        "PUBLIC_URL": PUBLIC_URL,
        "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
        "EMAIL_PROVIDERS": "console:",
        "BOUNCE_LMTP_BIND": "127.0.0.1:2424",
    } | settings
    return run_here(program, "check-settings", *options, **environment)


@pytest.mark.parametrize("program", MISSPELT)
def test_a_misspelt_setting_gets_a_warning_with_the_right_name(program: str) -> None:
    wrong, right = MISSPELT[program]
    done = check(program, **{wrong: "9"})
    assert (done.exit_code, done.stdout) == (0, "settings: valid, with warnings\n")
    assert done.stderr == f"settings: warning: {wrong} is not a setting; did you mean {right}?\n"


@pytest.mark.parametrize(
    ("program", "user"), [("api-service", "api"), ("operator-console", "console"), ("signpost-receiver", "receiver")]
)
def test_a_service_tries_its_database(program: str, user: str, database: Database) -> None:
    def outcome(url: str) -> tuple[int, str]:
        done = check(program, "--connect", DATABASE_URL=url)
        return done.exit_code, done.stdout.splitlines()[-1]

    assert outcome(database.cluster.url(database.name, user)) == (0, "DATABASE_URL: connected")
    assert outcome(database.cluster.url("nowhere", user)) == (
        1,
        "DATABASE_URL: the server has no database of this name",
    )
    assert outcome(database.cluster.url(database.name, "nobody")) == (
        1,
        "DATABASE_URL: the server rejects the user or the password in the URL",
    )
    assert outcome(database.cluster.tcp_url(database.name, user, unused_port())) == (
        1,
        "DATABASE_URL: no server listens on the host and port in the URL",
    )


def test_the_api_looks_for_a_relay_that_creates_databases(database: Database) -> None:
    done = check("api-service", "--connect", DATABASE_URL=database.api_url, ORGANIZATIONS="after_activation")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-2:] == [
        "DATABASE_URL: connected",
        "ORGANIZATIONS: no relay with PROVISION_DATABASE_URL was seen for 30 s; organizations get no databases",
    ]


def test_missing_rights_and_a_missing_schema_are_explained(cluster: Cluster, database: Database) -> None:
    def problem(url: str) -> str:
        return check("api-service", "--connect", DATABASE_URL=url).stdout.splitlines()[-1]

    with database.connect() as owner:
        owner.execute("create role stranger login")
        try:
            assert "has no rights" in problem(cluster.url(database.name, "stranger"))
        finally:
            owner.execute("drop role stranger")
    with fresh_database(cluster, template="template0") as empty:
        assert "has no schema" in problem(empty.owner_url)


async def checked(**settings: str) -> tuple[int, list[str]]:
    done = await asyncio.to_thread(check, "outbox-relay", "--connect", **settings)
    first, *lines = done.stdout.splitlines()
    assert first == "settings: all well", done.stderr
    return done.exit_code, lines


@pytest.mark.anyio
async def test_the_relay_connects_to_its_databases_and_providers_and_sends_nothing(
    database: Database, sink: MailSink, tmp_path: Path
) -> None:
    async with Smsc() as smsc, HttpGateway(answer(200)) as gateway:
        smpp = f"smpp://u:p@127.0.0.1:{smsc.port}?from=Us&tls=none"
        status, lines = await checked(
            DATABASE_URL=database.relay_url,
            LISTEN_DATABASE_URL=database.relay_url,
            EMAIL_PROVIDERS=f"{sink.provider},file://{tmp_path}",
            SMS_PROVIDERS=f"{smpp},{twilio(gateway.port)}",
        )
        assert status == 0, lines
        assert lines == [
            "DATABASE_URL: connected",
            "LISTEN_DATABASE_URL: connected",
            f"smtp:127.0.0.1:{sink.port}: connected",
            f"file:{tmp_path}: connected",
            f"smpp:127.0.0.1:{smsc.port}: connected",
            f"twilio:127.0.0.1:{gateway.port}: connected",
        ]
        # The check may end before this loop has accepted its last connection.
        await asyncio.to_thread(eventually, lambda: gateway.connections)
        assert (smsc.binds, gateway.connections, sink.connections) == ([("u", "p")], 1, 1)
        assert (smsc.submitted, gateway.requests, sink.arrived.total()) == ([], [], 0)


@pytest.mark.anyio
async def test_the_relay_explains_each_provider_that_refuses(database: Database) -> None:
    closed = unused_port()
    mail = f"smtp://127.0.0.1:{closed}?tls=none"
    refused_login = Script(("AUTH PLAIN",), instead={Moment.AUTH: b"534 5.7.9 Application-specific password"})
    async with Smsc(bind_reply=WRONG_PASSWORD) as smsc, SmtpServer(refused_login) as server:
        smpp = f"smpp://u:p@127.0.0.1:{smsc.port}?from=Us&tls=none"
        status, lines = await checked(
            DATABASE_URL=database.relay_url,
            EMAIL_PROVIDERS=f"{mail},smtp://u:p@127.0.0.1:{server.port}?tls=none",
            SMS_PROVIDERS=f"{smpp},{twilio(closed)}",
        )
    assert (status, lines[0]) == (1, "DATABASE_URL: connected")
    unreached, wrong_login, advice, wrong_bind, unreached_gateway = lines[1:]
    assert unreached.startswith(f"smtp:127.0.0.1:{closed}: ")
    assert wrong_login == f"smtp:127.0.0.1:{server.port}: AUTH: 534 5.7.9 Application-specific password"
    assert advice.startswith("  Google does not accept the account's own password over SMTP.")
    assert "ESME_RINVPASWD" in wrong_bind
    assert "refused" in unreached.lower()
    assert "refused" in unreached_gateway.lower()


@pytest.mark.anyio
async def test_the_relay_explains_an_account_in_the_terms_of_its_provider(database: Database) -> None:
    revoked = b'{"errors": [{"message": "The provided authorization grant is invalid", "field": null}]}'
    sandbox = b'{"SendingEnabled": true, "ProductionAccessEnabled": false}'
    async with HttpGateway(answer(401, revoked)) as sendgrid, HttpGateway(answer(200, sandbox)) as ses:
        status, lines = await checked(
            DATABASE_URL=database.relay_url,
            EMAIL_PROVIDERS=f"sendgrid://SG.hunter2@api.sendgrid.com?endpoint=http://127.0.0.1:{sendgrid.port},"
            f"ses://AKIA:hunter2@email.eu-west-1.amazonaws.com?endpoint=http://127.0.0.1:{ses.port}",
        )
        assert [request.path for request in (*sendgrid.requests, *ses.requests)] == ["/v3/scopes", "/v2/email/account"]
    assert (status, lines[0]) == (1, "DATABASE_URL: connected")
    wrong_key, in_sandbox = lines[1:]
    assert wrong_key.startswith(
        f"sendgrid:127.0.0.1:{sendgrid.port}: HTTP 401 the key is wrong, was deleted, or lacks the permission Mail Send"
    )
    assert in_sandbox.startswith(f"ses:127.0.0.1:{ses.port}: the account is in the sandbox")
    assert "hunter2" not in "".join(lines)


def twilio(port: int) -> str:
    return f"twilio://AC1:token@127.0.0.1:{port}?from=%2B15005550006&tls=none"
