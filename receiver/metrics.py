"""The receiver's metrics for Prometheus. Dashboards and alarms depend on their names and labels."""

from enum import StrEnum

from prometheus_client import Counter, Gauge

from shared.reports.report import ReportKind, ReportSource


class MailOutcome(StrEnum):
    """The result for a mail."""

    STORED = "stored"
    REPEATED = "repeated"
    UNVERIFIED = "unverified"
    AUTO_REPLY = "auto_reply"
    UNRECOGNIZED = "unrecognized"


BOUNCE_MAILS = Counter("signpost_bounce_mails_total", "Mails to the bounce address.", ["source", "outcome"])
REPORTS_RECEIVED = Counter("signpost_reports_received_total", "Stored delivery reports.", ["source", "kind"])
BOUNCE_MAILBOX_FAILING = Gauge("signpost_bounce_mailbox_failing", "1 while the IMAP mailbox cannot be read.")
RECEIVER_READY = Gauge("signpost_receiver_ready", "1 while /readyz responds with 200.")

for _source in (ReportSource.LMTP, ReportSource.IMAP):
    for _outcome in MailOutcome:
        BOUNCE_MAILS.labels(_source, _outcome)
for _source in ReportSource:
    for _kind in ReportKind:
        REPORTS_RECEIVED.labels(_source, _kind)
