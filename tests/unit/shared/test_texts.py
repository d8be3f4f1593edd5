import pytest

from shared.texts import LONGEST_DIAGNOSTIC, diagnostic_of


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("550 5.1.1 <ada@example.org>: no such user", "550 5.1.1 … no such user"),
        ("no route to +33612345678", "no route to …"),
        ("refused: Your code is 123456", "refused: Your code is …"),
        ("4 < 5: <Ada Lovelace> is away", "4 < 5: … is away"),
        ("two\nlines\0", "two lines"),
        (" \0", None),
        ("", None),
    ],
)
def test_a_diagnostic_has_no_address_number_or_code(text: str, stored: str | None) -> None:
    assert diagnostic_of(text) == stored


def test_a_diagnostic_is_short() -> None:
    assert len(diagnostic_of("no " * 10_000) or "") <= LONGEST_DIAGNOSTIC
