"""Kill the SMTP server and the HTTPS provider in turn during a drain: no message is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make_authority
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.mail_server_process import MailServerProcess
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relay_group import relay_group

MESSAGES = 1_500
STEP = 100
"""So many mails go to a provider before its turn ends."""
UNKNOWN = "select message_id from delivery_attempts where error_class = 'transient'"
RETRY_NOW = "update outbox_messages set due_at = now() where status = 'pending' and due_at > now() + interval '2 s'"


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[MailServerProcess]:
    server = MailServerProcess(tmp_path / "over-smtp")
    yield server
    server.kill()


@pytest.fixture
def https(tmp_path: Path) -> Iterator[MailServerProcess]:
    certificate = make_authority(tmp_path).server_certificate("IP:127.0.0.1")
    server = MailServerProcess(tmp_path / "over-https", certificate)
    yield server
    server.kill()


def await_more(server: MailServerProcess) -> None:
    before = len(server.accepted())
    eventually(lambda: len(server.accepted()) >= before + STEP, seconds=60)


def take_turns(smtp: MailServerProcess, https: MailServerProcess) -> None:
    """Kill each server while it takes mails, once while the other is down, too."""
    await_more(smtp)
    smtp.kill()
    await_more(https)
    https.kill()
    smtp.start()
    await_more(smtp)
    https.start()
    smtp.kill()
    await_more(https)
    smtp.start()


def test_messages_fail_over_from_smtp_to_https_and_back(
    outbox: Outbox, ledger: Ledger, sink: MailSink, smtp: MailServerProcess, https: MailServerProcess
) -> None:
    authority = https.file.with_name("ca.pem")
    urls = f"smtp://127.0.0.1:{smtp.port}?tls=none,https+mime://t@127.0.0.1:{https.port}/in?ca={authority}"
    ledger.enqueue(MESSAGES, rolled_back=20)
    smtp.start()
    https.start()
    with relay_group(2, outbox.database, EMAIL_PROVIDERS=urls):
        take_turns(smtp, https)
        eventually(lambda: outbox.execute(RETRY_NOW) == [] and outbox.is_all_sent(), seconds=90)
    for message_id, recipient in smtp.accepted() + https.accepted():
        sink.record(recipient, message_id)
    ledger.may_be_copied.update(message_id for (message_id,) in outbox.execute(UNKNOWN))
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending, tally.poisoned) == (MESSAGES, 0, 0, 0)
