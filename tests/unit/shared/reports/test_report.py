"""Repetitions of a delivery report share a key, and different reports do not."""

from dataclasses import replace
from uuid import uuid4

from shared.reports.report import BounceCause, DeliveryReport, ReportKind, ReportSource

BOUNCE = DeliveryReport(
    ReportKind.BOUNCED,
    ReportSource.LMTP,
    message_id=uuid4(),
    recipient_tag="formeraddress",
    cause=BounceCause.RECIPIENT,
    is_permanent=True,
    status_code="5.1.1",
)


def test_a_repetition_over_another_connection_has_the_same_key() -> None:
    repeated = replace(BOUNCE, source=ReportSource.IMAP, diagnostic="550 no such user")
    assert repeated.deduplication_key == BOUNCE.deduplication_key


def test_a_bounce_of_the_corrected_address_is_another_report() -> None:
    assert replace(BOUNCE, recipient_tag="corrected").deduplication_key != BOUNCE.deduplication_key


def test_a_bounce_with_another_status_code_is_no_other_report_but_one_with_another_cause_is() -> None:
    assert replace(BOUNCE, status_code="5.1.2").deduplication_key == BOUNCE.deduplication_key
    assert replace(BOUNCE, cause=BounceCause.OTHER).deduplication_key != BOUNCE.deduplication_key
