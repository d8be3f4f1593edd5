"""Turn a mail to the bounce address into a stored report."""

from collections.abc import Iterable
from email.message import Message
from itertools import chain

from receiver.bounces.report_mail import AutoReply, Observation, observe, parse, quoted_envelope_senders
from receiver.metrics import BOUNCE_MAILS, MailOutcome
from receiver.store import ReportStore
from shared.log import get_logger
from shared.reports.report import DeliveryReport, ReportSource
from shared.reports.return_paths import BouncedMessage, bounced_message
from shared.secrets import SecretKeys

log = get_logger("receiver.bounces")


class Intake:
    """Reads mails from one source. It logs outcomes only: a mail is full of addresses."""

    def __init__(self, store: ReportStore, keys: SecretKeys, source: ReportSource) -> None:
        self._store = store
        self._keys = keys
        self._source = source

    def take(self, raw: bytes, addresses: Iterable[str]) -> MailOutcome:
        """Read a mail to these addresses, and store and commit what it reports.

        Raises psycopg.Error if it is uncertain whether the report was stored: the mail must come again.
        """
        outcome = self._outcome(raw, addresses)
        BOUNCE_MAILS.labels(self._source, outcome).inc()
        log.info("bounce mail taken", source=self._source, outcome=outcome)
        return outcome

    def _outcome(self, raw: bytes, addresses: Iterable[str]) -> MailOutcome:
        mail = parse(raw)
        # Before the mail is searched for reports, because any sender can forge one.
        named = self._message_of(chain(addresses, quoted_envelope_senders(mail)))
        if named is None:
            return MailOutcome.UNVERIFIED
        observed = observe(mail)
        if observed is None:
            return MailOutcome.UNRECOGNIZED
        if isinstance(observed, AutoReply):
            return MailOutcome.AUTO_REPLY
        is_new = self._store.add(self._report(named, observed))
        return MailOutcome.STORED if is_new else MailOutcome.REPEATED

    def _message_of(self, addresses: Iterable[str]) -> BouncedMessage | None:
        found = (bounced_message(address, self._keys) for address in addresses)
        return next(filter(None, found), None)

    def _report(self, named: BouncedMessage, observed: Observation) -> DeliveryReport:
        return DeliveryReport(
            kind=observed.kind,
            source=self._source,
            message_id=named.message_id,
            recipient_tag=named.recipient_tag,
            cause=observed.cause,
            is_permanent=observed.is_permanent,
            status_code=observed.status_code,
            diagnostic=observed.diagnostic,
            occurred_at=observed.occurred_at,
        )


def recipients_of(mail: Message) -> list[str]:
    """Return the addresses that the mail was delivered to, by the headers of Postfix, Exim, qmail and Dovecot."""
    names = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To")
    return [str(value) for name in names for value in mail.get_all(name, ())]
