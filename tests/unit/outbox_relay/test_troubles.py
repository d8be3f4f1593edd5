"""What a provider's own failures ask of operators."""

import ssl

import pytest

from outbox_relay.failures import Trouble, broken_off, trouble_of


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        ("AUTH: 535 5.7.8 authentication failed", Trouble.CREDENTIALS),
        ("MAIL: 530 5.7.0 must authenticate", Trouble.CREDENTIALS),
        ("the server offers neither AUTH PLAIN nor AUTH LOGIN", Trouble.CREDENTIALS),
        ("HTTP 401 no such token", Trouble.CREDENTIALS),
        ("HTTP 402 no money", Trouble.CREDENTIALS),
        ("the server does not offer STARTTLS", Trouble.CERTIFICATE),
        ("RCPT: 450 4.2.0 greylisted", Trouble.OTHER),
        ("MAIL: 421 535 sessions are enough", Trouble.OTHER),
        ("HTTP 503 back in 401 seconds", Trouble.OTHER),
        ("connection refused: [Errno 111]", Trouble.OTHER),
    ],
)
def test_words_are_sorted_by_what_is_to_be_done(error: str, trouble: Trouble) -> None:
    assert trouble_of(error) is trouble


def test_a_certificate_that_is_not_trusted_is_told_from_a_broken_line() -> None:
    failure = broken_off("smtp:m:25", ssl.SSLCertVerificationError(1, "certificate has expired"), maybe_accepted=False)
    assert trouble_of(failure.error) is Trouble.CERTIFICATE
