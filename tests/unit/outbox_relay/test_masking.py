"""Errors of providers, as the log and the list of providers show them."""

import pytest

from outbox_relay.failures.masking import LONGEST_MASKED, masked_error


@pytest.mark.parametrize(
    ("error", "masked"),
    [
        ("RCPT: 554 5.7.1 <ada@example.org>: Relay access denied", "RCPT: 554 5.7.1 … Relay access denied"),
        ("RCPT: 554 5.7.1 ada@example.org: Relay access denied", "RCPT: 554 5.7.1 … Relay access denied"),
        ('RCPT: 554 5.7.1 "ada lovelace"@example.org denied', "RCPT: 554 5.7.1 … denied"),
        ("AUTH: 535 5.7.8 authentication failed", "AUTH: 535 5.7.8 authentication failed"),
        ("CONNECT: 421 4.7.0 mx.example.org too busy", "CONNECT: 421 4.7.0 mx.example.org too busy"),
        ("connection refused: [Errno 111] Connect call failed ('127.0.0.1', 25)",
         "connection refused: [Errno 111] Connect call failed ('127.0.0.1', 25)"),
        ("HTTP 400 21606: From cannot send to +33612345678.", "HTTP 400 21606: From cannot send to …."),
        ("HTTP 403 no route to 33 6 12 34 56 78", "HTTP 403 no route to …"),
        ("HTTP 403 no route to (555) 123-4567", "HTTP 403 no route to (…"),
        ("HTTP 403 no route to MSISDN33612345678", "HTTP 403 no route to MSISDN…"),
        ("HTTP 403 spam: Your code is 123456", "HTTP 403 spam: Your code is …"),
        ('HTTP 403 {"to": "+33612345678"}', "HTTP 403 …"),
        ("bind: ESME_RBINDFAIL (0x0000000D)", "bind: ESME_RBINDFAIL (0x0000000D)"),
        ("submit_sm: SMSC error (0x00000403)", "submit_sm: SMSC error (0x00000403)"),
        ("token refused: invalid_client: AADSTS7000215: wrong", "token refused: invalid_client: AADSTS7000215: wrong"),
        ("a line\nand \0 another", "a line and   another"),
    ],
)  # fmt: skip
def test_addresses_and_numbers_are_masked_and_the_rest_stays(error: str, masked: str) -> None:
    assert masked_error(error) == masked


def test_a_masked_error_has_a_bounded_length() -> None:
    assert len(masked_error("no " * 500)) == LONGEST_MASKED
