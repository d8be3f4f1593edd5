"""Categories of provider failures."""

import ssl

import pytest

from outbox_relay.failures import FailureCategory, category_of, connection_failure


@pytest.mark.parametrize(
    ("error", "category"),
    [
        ("AUTH: 535 5.7.8 authentication failed", FailureCategory.CREDENTIALS),
        ("MAIL: 530 5.7.0 must authenticate", FailureCategory.CREDENTIALS),
        ("the server offers neither AUTH PLAIN nor AUTH LOGIN", FailureCategory.CREDENTIALS),
        ("HTTP 401 no such token", FailureCategory.CREDENTIALS),
        ("HTTP 402 no money", FailureCategory.CREDENTIALS),
        ("the server does not offer STARTTLS", FailureCategory.CERTIFICATE),
        ("RCPT: 450 4.2.0 greylisted", FailureCategory.OTHER),
        ("MAIL: 421 535 sessions are enough", FailureCategory.OTHER),
        ("HTTP 503 back in 401 seconds", FailureCategory.OTHER),
        ("connection refused: [Errno 111]", FailureCategory.OTHER),
    ],
)
def test_an_error_text_has_the_category_that_operators_act_on(error: str, category: FailureCategory) -> None:
    assert category_of(error) is category


def test_an_untrusted_certificate_has_its_own_category() -> None:
    failure = connection_failure(
        "smtp:m:25", ssl.SSLCertVerificationError(1, "certificate has expired"), maybe_accepted=False
    )
    assert category_of(failure.error) is FailureCategory.CERTIFICATE
