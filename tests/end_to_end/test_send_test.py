"""`outbox-relay send-test`, as an operator runs it: it needs no database."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from outbox_relay.cli import main
from tests.support.email_apis import EMAIL_APIS, Case
from tests.support.http_gateway import HttpGateway
from tests.support.keys import SECRET_KEYS
from tests.support.mail_sink import MailSink
from tests.support.processes import completed

pytestmark = pytest.mark.slow

NOWHERE = "smtp://127.0.0.1:1?tls=none"


def send_test(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        "DATABASE_URL": "postgresql+psycopg://relay@127.0.0.1:1/signpost",
        "SECRET_KEYS": SECRET_KEYS,
        "PUBLIC_URL": "https://signpost.example",
        "EMAIL_FROM": "Signpost <no-reply@signpost.example>",
    } | settings
    return completed(("outbox-relay", "send-test", *arguments), environment)


def test_each_provider_is_tried_and_its_reply_shown(sink: MailSink, tmp_path: Path) -> None:
    sink.refuse("nobody@example.org", "550 5.1.1 no such user")
    done = send_test("nobody@example.org", EMAIL_PROVIDERS=f"{NOWHERE},{sink.provider},file://{tmp_path}")
    assert done.returncode == 1
    down, refused, accepted = done.stdout.splitlines()
    [file] = tmp_path.glob("*.eml")
    assert down.startswith("smtp:127.0.0.1:1: not accepted, by a fault of the provider: ")
    assert refused == (
        f"smtp:127.0.0.1:{sink.port}: not accepted, by a fault of the recipient: RCPT: 550 5.1.1 no such user"
    )
    assert accepted == f"file:{tmp_path}: accepted ({file.name})"


@pytest.mark.anyio
async def test_an_unverified_domain_is_explained_in_the_terms_of_the_provider() -> None:
    resend = EMAIL_APIS["resend"]
    async with HttpGateway(resend.refusals[Case.UNVERIFIED_SENDER]) as gateway:
        url = resend.url.format(endpoint=f"http://127.0.0.1:{gateway.port}")
        done = await asyncio.to_thread(send_test, "ada@example.org", EMAIL_PROVIDERS=url)
    assert done.returncode == 1
    assert done.stdout.startswith(
        f"resend:127.0.0.1:{gateway.port}: not accepted, by a fault of the provider: HTTP 403 the sender's domain is"
        " not verified: verify it under Domains: validation_error: The signpost.example domain is not"
    )


def test_a_number_gets_an_sms(tmp_path: Path) -> None:
    done = send_test("+33 6 12 34 56 78", SMS_PROVIDERS=f"file://{tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    [file] = tmp_path.glob("*.txt")
    assert file.read_text().startswith("Signpost: your code is ")


def test_without_a_provider_for_the_channel_the_command_fails() -> None:
    done = send_test("+33612345678", EMAIL_PROVIDERS=NOWHERE)
    assert done.returncode == 2
    assert done.stderr == "settings: SMS_PROVIDERS is not set: there is nothing to send through\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("ada",), "not a phone number with its country code"),
        (("ada@example.org", "--channel", "sms"), "not a phone number"),
        (("ada@", "--channel", "email"), "not an e-mail address"),
    ],
)
def test_an_invalid_address_ends_with_status_2(arguments: tuple[str, ...], error: str) -> None:
    done = CliRunner().invoke(main, ["send-test", *arguments])
    assert done.exit_code == 2
    assert error in done.output
