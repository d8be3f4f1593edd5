"""Whose failure is a bounce? Codes decide first, then texts."""

import pytest

from receiver.bounces.classification import classify
from shared.reports.report import BounceCause

RECIPIENT, FULL, CONTENT, POLICY, OTHER = (
    BounceCause.RECIPIENT,
    BounceCause.MAILBOX_FULL,
    BounceCause.CONTENT,
    BounceCause.POLICY,
    BounceCause.OTHER,
)


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        ("5.1.1", "", (RECIPIENT, True, "5.1.1")),
        ("5.1.10", "recipient address has null MX", (RECIPIENT, True, "5.1.10")),
        ("5.1.8", "sender address rejected: domain not found", (POLICY, True, "5.1.8")),
        ("5.2.2", "over quota", (FULL, True, "5.2.2")),
        ("4.2.2", "over quota", (FULL, False, "4.2.2")),
        ("5.3.4", "too big", (CONTENT, True, "5.3.4")),
        ("5.4.4", "Host or domain name not found", (RECIPIENT, True, "5.4.4")),
        ("4.4.7", "delivery time expired", (OTHER, False, "4.4.7")),
        ("5.7.26", "unauthenticated mail", (POLICY, True, "5.7.26")),
        ("", "550 Mailbox not found", (RECIPIENT, True, "550")),
        ("", "552 sorry", (FULL, True, "552")),
        ("", "550 sorry", (OTHER, True, "550")),
        ("", "", (OTHER, True, None)),
    ],
)  # fmt: skip
def test_a_code_or_a_text_tells_whose_failure_it_is(
    status: str, text: str, expected: tuple[BounceCause, bool, str | None]
) -> None:
    assert classify(status, text) == expected


@pytest.mark.parametrize(
    ("status", "text", "cause"),
    [
        ("5.0.0", "550 5.1.1 nobody here", RECIPIENT),
        ("5.0.0", "554 delivery error: This user doesn't have a yahoo.com account", RECIPIENT),
        ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied", RECIPIENT),
        ("5.5.0", "550 5.5.0 Requested action not taken: mailbox unavailable", RECIPIENT),
        ("5.7.0", "550 5.7.0 mailbox is full", FULL),
    ],
)
def test_the_text_decides_if_the_code_is_general(status: str, text: str, cause: BounceCause) -> None:
    assert classify(status, text).cause is cause


@pytest.mark.parametrize(
    "text",
    [
        "550 5.7.1 Recipient address rejected: blocked using Spamhaus",
        "550 mailbox unavailable: your IP has a bad reputation",
        "554 5.7.1 <x>: Recipient address rejected: rejected by policy",
        "550 too many invalid recipients",
    ],
)
def test_a_refusal_of_the_sender_is_not_the_recipients_failure(text: str) -> None:
    assert classify("5.0.0", text).cause is POLICY


def test_a_temporary_failure_is_no_proof_against_an_address() -> None:
    assert classify("4.1.1", "450 4.1.1 User unknown in local recipient table").cause is OTHER


@pytest.mark.parametrize("status", ["2.0.0 and 5.1.1", "99.5.1.1", "5.1.1.1", "5.1234.1", "five"])
def test_a_number_that_is_no_enhanced_code_is_not_taken_for_one(status: str) -> None:
    assert classify(status, "").status_code in {None, "2.0.0"}
