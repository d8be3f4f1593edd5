import pytest

from shared.reports.receipts import STATES_BY_NUMBER, fields_of, verdict_of
from shared.reports.report import BounceCause, ReportKind

TEXT = "id:0123 sub:001 dlvrd:001 submit date:2611250102 done date:2611250102 stat:DELIVRD err:000 text:id:9 stat:X"


def test_the_fields_of_a_receipt_are_read_in_any_order() -> None:
    expected = {"id": "0123", "stat": "DELIVRD", "err": "000"}
    assert fields_of("stat:DELIVRD err:000 id:0123") == expected
    assert fields_of(TEXT) == expected | {"submit date": "2611250102", "done date": "2611250102"}
    assert fields_of("Thank you!") == {}
    assert fields_of("id:\0 stat:\x85 err:é") == {}


@pytest.mark.parametrize(
    ("state", "kind", "cause", "is_permanent"),
    [
        ("DELIVRD", ReportKind.DELIVERED, None, False),
        ("delivrd", ReportKind.DELIVERED, None, False),
        ("UNDELIV", ReportKind.BOUNCED, BounceCause.RECIPIENT, True),
        ("REJECTD", ReportKind.BOUNCED, BounceCause.POLICY, True),
        ("EXPIRED", ReportKind.BOUNCED, BounceCause.OTHER, False),
        ("DELETED", ReportKind.BOUNCED, BounceCause.OTHER, True),
    ],
)
def test_only_an_undeliverable_message_is_the_recipients_failure(
    state: str, kind: ReportKind, cause: BounceCause | None, *, is_permanent: bool
) -> None:
    verdict = verdict_of(state)
    assert verdict
    assert (verdict.kind, verdict.cause, verdict.is_permanent) == (kind, cause, is_permanent)


@pytest.mark.parametrize("state", ["ENROUTE", "ACCEPTD", "UNKNOWN", "", "SOMETHING"])
def test_a_state_on_the_way_is_no_news(state: str) -> None:
    assert verdict_of(state) is None


def test_the_numbers_of_states_are_those_of_smpp() -> None:
    assert (STATES_BY_NUMBER[2], STATES_BY_NUMBER[5], STATES_BY_NUMBER[8]) == ("DELIVRD", "UNDELIV", "REJECTD")
