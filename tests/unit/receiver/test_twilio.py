import pytest

from receiver.callbacks.twilio import is_signed, verdict_of
from shared.reports.report import BounceCause, ReportKind

# The example of https://www.twilio.com/docs/usage/security.
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = [
    ("Digits", "1234"),
    ("To", "+18005551212"),
    ("From", "+14158675309"),
    ("Caller", "+14158675309"),
    ("CallSid", "CA1234567890ABCDE"),
]
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_the_signature_of_twilios_documentation_is_accepted() -> None:
    assert is_signed(URL, FORM, SIGNATURE, ["12345"])
    assert is_signed(URL, FORM, SIGNATURE, ["the next token", "12345"])
    assert is_signed(URL.replace(".com/", ".com:443/"), FORM, SIGNATURE, ["12345"])


@pytest.mark.parametrize(
    ("url", "form", "offered", "tokens"),
    [
        (URL, FORM, SIGNATURE, ["54321"]),
        (URL, FORM, SIGNATURE, []),
        (URL, FORM[1:], SIGNATURE, ["12345"]),
        (URL + "3", FORM, SIGNATURE, ["12345"]),
        (URL.replace(".com/", ".com:8443/"), FORM[:4], SIGNATURE, ["12345"]),
        (URL, FORM, "", ["12345"]),
        (URL, FORM, "é", ["12345"]),
    ],
)
def test_any_other_signature_is_refused(url: str, form: list[tuple[str, str]], offered: str, tokens: list[str]) -> None:
    assert not is_signed(url, form, offered, tokens)


@pytest.mark.parametrize("status", ["accepted", "scheduled", "queued", "sending", "sent", "canceled", "", "new"])
def test_a_status_on_the_way_is_no_news(status: str) -> None:
    assert verdict_of(status, None) is None


@pytest.mark.parametrize(
    ("code", "cause", "is_permanent"),
    [
        ("30005", BounceCause.RECIPIENT, True),
        ("30003", BounceCause.OTHER, False),
        ("30007", BounceCause.CONTENT, True),
        ("30034", BounceCause.POLICY, True),
        ("99999", BounceCause.OTHER, True),
        (None, BounceCause.OTHER, True),
    ],
)
def test_only_codes_about_the_number_count_against_it(
    code: str | None, cause: BounceCause, *, is_permanent: bool
) -> None:
    verdict = verdict_of("undelivered", code)
    assert verdict
    assert (verdict.kind, verdict.cause, verdict.is_permanent) == (ReportKind.BOUNCED, cause, is_permanent)
