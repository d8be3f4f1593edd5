"""Receipts in a deliver_sm, from any bytes."""

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from outbox_relay.channels.smpp.receipts import IdForm, receipt_in
from shared.reports.report import DeliveryReport
from tests.support.smsc import RECEIPT, deliver_sm, receipt


@given(st.binary(max_size=400), st.sampled_from(IdForm))
@example(b"", IdForm.SAME)
def test_any_bytes_are_a_receipt_or_none_or_an_error_of_the_smsc(body: bytes, form: IdForm) -> None:
    with suppress(ValueError):
        receipt = receipt_in(body)
        if receipt:
            receipt.report("smpp:smsc.example.org", form)


@given(
    st.binary(max_size=200), st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=70)), st.sampled_from(IdForm)
)
def test_the_report_of_any_receipt_can_be_stored(text: bytes, options: dict[int, bytes], form: IdForm) -> None:
    receipt = receipt_in(deliver_sm(text, esm_class=RECEIPT, options=options))
    assert receipt
    report = receipt.report("smpp:smsc.example.org", form)
    if report:
        assert report.provider_message_id
        assert report.provider_message_id.isprintable()
        assert len(report.provider_message_id) <= 200
        assert len(report.status_code or "") <= 40


def report_of(body: bytes) -> DeliveryReport:
    found = receipt_in(body)
    report = found and found.report("smpp:smsc.example.org", IdForm.SAME)
    assert report
    return report


def test_a_repeated_receipt_has_the_same_key_and_one_of_a_later_message_with_that_id_has_another() -> None:
    first, repeated, later = (report_of(receipt("7", day=day)) for day in ("261125", "261125", "261128"))
    assert first.deduplication_key == repeated.deduplication_key
    assert first.deduplication_key != later.deduplication_key
