"""Cut off the SMTP server and the HTTPS provider in turn during a drain: no message is lost."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import make_authority
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.forwarding import forwarding, unused_port
from tests.support.http_gateway import HttpGateway
from tests.support.https_sink import https_sink
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relay_group import relay_group

MESSAGES = 1_500
STEP = 100
"""So many mails go to a provider before its turn ends."""
UNKNOWN = "select message_id from delivery_attempts where error_class = 'transient'"
RETRY_NOW = "update outbox_messages set due_at = now() where status = 'pending' and due_at > now() + interval '2 s'"


@dataclass
class Link:
    """The connection to one provider, which a test cuts and restores on the same port."""

    to: int
    port: int = field(default_factory=unused_port)
    _open: ExitStack = field(default_factory=ExitStack)

    def restore(self) -> None:
        self._open.enter_context(forwarding(self.port, to=self.to))

    def cut(self) -> None:
        self._open.close()


@dataclass
class Providers:
    """The SMTP server that is tried first, and the HTTPS provider that is tried next."""

    sink: MailSink
    gateway: HttpGateway
    smtp: Link = field(init=False)
    https: Link = field(init=False)

    def __post_init__(self) -> None:
        self.smtp, self.https = Link(self.sink.port), Link(self.gateway.port)

    def await_smtp(self) -> None:
        await_more(lambda: self.sink.arrived.total() - len(self.gateway.requests))

    def await_https(self) -> None:
        await_more(lambda: len(self.gateway.requests))


def await_more(arrived: Callable[[], int]) -> None:
    before = arrived()
    eventually(lambda: arrived() >= before + STEP, seconds=60)


def take_turns(providers: Providers) -> None:
    """Cut off each provider while it takes mails, once while the other is cut off, too."""
    providers.await_smtp()
    providers.smtp.cut()
    providers.await_https()
    providers.https.cut()
    providers.smtp.restore()
    providers.await_smtp()
    providers.https.restore()
    providers.smtp.cut()
    providers.await_https()
    providers.smtp.restore()


def test_messages_fail_over_from_smtp_to_https_and_back(
    outbox: Outbox, ledger: Ledger, sink: MailSink, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path)
    with https_sink(sink, authority.server_context("IP:127.0.0.1")) as gateway:
        providers = Providers(sink, gateway)
        smtp, https = providers.smtp, providers.https
        urls = f"smtp://127.0.0.1:{smtp.port}?tls=none,https+mime://t@127.0.0.1:{https.port}/in?ca={authority.file}"
        sink.reply_seconds = 0.02
        ledger.enqueue(MESSAGES, rolled_back=20)
        smtp.restore()
        https.restore()
        with relay_group(2, outbox.database, EMAIL_PROVIDERS=urls):
            take_turns(providers)
            eventually(lambda: outbox.execute(RETRY_NOW) == [] and outbox.is_all_sent(), seconds=90)
        smtp.cut()
        https.cut()
    ledger.may_be_copied.update(message_id for (message_id,) in outbox.execute(UNKNOWN))
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending, tally.poisoned) == (MESSAGES, 0, 0, 0)
