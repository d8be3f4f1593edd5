"""Categories of provider failures."""

import ssl

import pytest

from outbox_relay.failures.network import FailureCategory, category_of, connection_failure


@pytest.mark.parametrize(
    ("error", "category"),
    [
        ("AUTH: 535 5.7.8 authentication failed", FailureCategory.CREDENTIALS),
        ("MAIL: 530 5.7.0 must authenticate", FailureCategory.CREDENTIALS),
        ("the server does not offer AUTH PLAIN or LOGIN", FailureCategory.CREDENTIALS),
        ("HTTP 401 no such token", FailureCategory.CREDENTIALS),
        ("HTTP 402 no money", FailureCategory.CREDENTIALS),
        ("HTTP 403 not allowed", FailureCategory.CREDENTIALS),
        ("HTTP 407 proxy", FailureCategory.CREDENTIALS),
        ("RCPT: 432 4.7.12 a password transition is needed", FailureCategory.CREDENTIALS),
        ("DATA: 534 5.7.9 mechanism too weak", FailureCategory.CREDENTIALS),
        ("DATA: 535 5.7.8 credentials invalid", FailureCategory.CREDENTIALS),
        ("RCPT: 538 5.7.11 encryption required", FailureCategory.CREDENTIALS),
        ("AUTH: 454 4.7.0 temporary failure", FailureCategory.CREDENTIALS),
        ("bind: 0x0000000D ESME_RBINDFAIL", FailureCategory.CREDENTIALS),
        ("bind: 0x0000000E ESME_RINVPASWD", FailureCategory.CREDENTIALS),
        ("bind: 0x0000000F ESME_RINVSYSID", FailureCategory.CREDENTIALS),
        ("TLS failed: unexpected message", FailureCategory.CERTIFICATE),
        ("certificate not trusted: expired", FailureCategory.CERTIFICATE),
        ("the server does not offer STARTTLS", FailureCategory.CERTIFICATE),
        ("token refused: invalid_grant: revoked (HTTP 400)", FailureCategory.TOKEN),
        ("token request failed: certificate not trusted: expired", FailureCategory.CERTIFICATE),
        ("token request failed: server_error (HTTP 500)", FailureCategory.OTHER),
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


def test_the_categories_have_the_names_that_alarms_use() -> None:
    assert [category.value for category in FailureCategory] == ["certificate", "credentials", "token", "other"]
