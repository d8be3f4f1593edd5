"""What a mail reports. The parser is given anything, and its work is bounded."""

import email
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.bounces.report_mail import (
    LONGEST_READ_BYTES,
    MOST_CONTAINERS,
    AutoReply,
    Observation,
    bounded,
    observe,
    parse,
    quoted_envelope_senders,
)
from shared.reports.report import BounceCause, ReportKind
from shared.texts import LONGEST_OF_MAIL
from tests.support.bounce_samples import SAMPLES
from tests.support.bounces import AUTO_REPLY, complaint, delivery_status

PIECES = [
    *delivery_status("failed", "5.1.1").splitlines(keepends=True),
    *complaint("bounces@signpost.example").splitlines(keepends=True),
    *AUTO_REPLY.splitlines(keepends=True),
    *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: x-uuencode\r\n", b"\xff\xfe\r\n", b"\r\n"),
    *(b'Content-Type: multipart/report; boundary="b"\r\n', b"Content-Type: multipart/digest; boundary=b\r\n"),
    *(b"Content-Type: text/plain; charset=none\r\n", b"Content-Type: message/global-delivery-status\r\n"),
    *(b"Last-Attempt-Date: 99 Foo 99999 99:99:99 +9999\r\n", b"Date: Sat, 1 Jan 0001 00:00:00 +1400\r\n", b"--b--\r\n"),
    *(
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: message/partial\r\n",
        b"Status: \0\r\n",
        b"=?x?q?=FF?=\r\n",
    ),
]


def observed(raw: bytes) -> Observation:
    found = observe(parse(raw))
    assert isinstance(found, Observation)
    return found


@given(st.one_of(st.binary(max_size=2000), st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)))
def test_no_input_raises(raw: bytes) -> None:
    list(quoted_envelope_senders(parse(raw)))
    found = observe(parse(raw))
    if isinstance(found, Observation):
        assert "\0" not in (found.diagnostic or "")
        (found.diagnostic or "").encode()
        assert len(found.status_code or "") <= 40


@pytest.mark.parametrize("cut", range(0, 1200, 37))
def test_a_bounce_that_is_cut_or_damaged_anywhere_does_not_raise(cut: int) -> None:
    whole = delivery_status("failed", "5.1.1")
    observe(parse(whole[:cut]))
    observe(parse(whole[:cut] + b"\xff\0" + whole[cut:]))


def test_the_kinds_of_parts_that_contain_others_are_bounded() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(5000))
    assert bounded(deep).count(b"multipart") == MOST_CONTAINERS
    assert observe(parse(deep)) is None
    for part in (b"--b\n\n", b"--b\nContent-Type: message/rfc822\n\n", b"a: b\n\n", b"\n", b"<" * 70 + b"\n"):
        observe(parse(b"Content-Type: multipart/report; boundary=b\n\n" + part * 60_000))


def test_lone_carriage_returns_end_lines_like_line_feeds() -> None:
    deep = b"Content-Type: message/rfc822\r\r" * 5000
    assert bounded(deep).count(b"rfc822") == MOST_CONTAINERS
    assert observe(parse(deep)) is None
    whole = delivery_status("failed", "5.1.1")
    assert observed(whole.replace(b"\r\n", b"\r")) == observed(whole)


def test_long_names_of_recipients_do_not_stay_in_memory() -> None:
    tracemalloc.start()
    for number in range(3):
        observed(b"X-Failed-Recipients: %d%s@example.org\n\n550 no such user\n" % (number, b"a" * 200_000))
    remaining, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert remaining < 2**20


def test_a_mail_is_read_up_to_a_limit() -> None:
    assert len(bounded(b"x" * 10**7)) == LONGEST_READ_BYTES


@pytest.mark.parametrize("name", ["Final-Recipient", "final-recipient", "X-Other"])
def test_the_final_recipient_is_ignored(name: str) -> None:
    raw = delivery_status("failed", "5.1.1").replace(b"Final-Recipient", name.encode())
    assert observed(raw) == observed(delivery_status("failed", "5.1.1"))


def test_the_worst_result_of_several_recipients_counts() -> None:
    delivered, failed = b"Action: delivered\r\nStatus: 2.0.0\r\n\r\n", b"Action: failed\r\nStatus: 5.1.1\r\n\r\n"
    head, _, _ = delivery_status("failed", "5.1.1").partition(b"Final-Recipient")
    for groups in (delivered + failed, failed + delivered):
        assert observed(head + groups).kind is ReportKind.BOUNCED
    assert observe(parse(head + delivered.replace(b"delivered", b"relayed"))) is None


def test_an_internationalized_status_is_read() -> None:
    raw = delivery_status("failed", "5.1.1").replace(b"message/delivery-status", b"message/global-delivery-status")
    assert (observed(raw).kind, observed(raw).status_code) == (ReportKind.BOUNCED, "5.1.1")


def test_without_a_diagnostic_code_the_text_for_people_tells_the_reason() -> None:
    raw = delivery_status("failed", "5.0.0", "").replace(b"Diagnostic-Code: \r\n", b"")
    raw = raw.replace(b"could not be delivered.", b"failed: the mailbox is full.")
    assert observed(raw).cause is BounceCause.MAILBOX_FULL


@pytest.mark.parametrize(
    ("diagnostic", "shown"),
    [
        ("smtp; 550 5.1.1 <ada@example.org>: User unknown", "550 5.1.1 … User unknown"),
        ("smtp; 550 5.1.1 Ada... User unknown", "550 5.1.1 …... User unknown"),
        ("smtp; 550 user someone.else is not here", "550 user … is not here"),
        ("smtp; 550 bounces+abc@signpost.example refused", "550 … refused"),
        ("smtp; 550 " + "no " * 1000, ("550 " + "no " * 332).strip()),
        ("X-Unix; 67", "67"),
    ],
)
def test_a_diagnostic_names_no_recipient(diagnostic: str, shown: str) -> None:
    found = observed(delivery_status("failed", "5.1.1", diagnostic)).diagnostic
    assert found == shown
    assert len(found) <= LONGEST_OF_MAIL


def test_the_reporters_time_is_in_utc_and_an_impossible_one_is_dropped() -> None:
    raw = delivery_status("failed", "5.1.1")
    assert observed(raw).occurred_at == datetime(2026, 11, 25, 1, tzinfo=UTC)
    for wrong in (b"Wed, 25 Nov 1901 02:00:00 +1400", b"yesterday", b"Wed, 25 Nov 9999 23:00:00 -1200"):
        raw = delivery_status("failed", "5.1.1").replace(b"Wed, 25 Nov 2026 02:00:00 +0100", wrong)
        assert observed(raw).occurred_at == datetime(2026, 11, 25, 1, tzinfo=UTC), "the mail's own date"


@pytest.mark.parametrize(
    "marks",
    [
        b"Auto-Submitted: auto-replied",
        b"Auto-Submitted: auto-replied (vacation); owner-email=x",
        b"X-Autoreply: yes",
        b"Precedence: auto_reply",
    ],
)
def test_an_automatic_reply_is_not_taken_for_a_bounce(marks: bytes) -> None:
    text = b"From: Ada <ada@example.org>\n%s\n\n<ada@example.org>: user unknown. Delivery failed permanently.\n"
    assert isinstance(observe(parse(text % marks)), AutoReply)


def test_a_receipt_for_reading_is_an_automatic_reply() -> None:
    raw = (
        b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n"
        b"Content-Type: message/disposition-notification\n\nDisposition: manual-action/MDN-sent-manually; displayed\n"
    )
    assert isinstance(observe(parse(raw)), AutoReply)


@pytest.mark.parametrize(("kind", "is_complaint"), [("abuse", True), ("fraud", True), ("not-spam", False), ("", False)])
def test_a_feedback_report_is_a_complaint_only_if_it_says_so(kind: str, *, is_complaint: bool) -> None:
    found = observe(parse(complaint("bounces+a@signpost.example", kind)))
    assert (found is not None) == is_complaint
    if isinstance(found, Observation):
        assert found.kind is ReportKind.COMPLAINED


def test_only_a_feedback_report_is_known_by_the_envelope_sender_that_it_quotes() -> None:
    mail = complaint("bounces+a@signpost.example")
    assert set(quoted_envelope_senders(parse(mail))) == {"<bounces+a@signpost.example>"}
    assert not list(quoted_envelope_senders(parse(mail.replace(b"message/feedback-report", b"text/plain"))))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_of_flufl_bounce_contain_no_address_after_masking(path: Path) -> None:
    raw = path.read_bytes()
    found = observe(parse(raw))
    if isinstance(found, Observation):
        assert "@" not in (found.diagnostic or "")


def test_most_samples_of_flufl_bounce_are_recognized() -> None:
    found = [observe(email.message_from_bytes(bounded(path.read_bytes()))) for path in SAMPLES]
    assert sum(each is not None for each in found) >= 113
    assert sum(isinstance(each, AutoReply) for each in found) == 1
