import pytest

from api_service import passwords
from api_service.errors import FaultCode


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("elevenchars", FaultCode.TOO_SHORT),
        ("four quiet words here", None),
        ("twelve chars", None),
        ("🦉" * 12, None),
        ("x7" * 128, None),
        ("x7" * 128 + "y", FaultCode.TOO_LONG),
        ("aaaaaaaaaaaa", FaultCode.TOO_COMMON),
        ("PasswordPassword", FaultCode.TOO_COMMON),
        ("qwertyuiop123", FaultCode.TOO_COMMON),
        ("1q2w3e4r5t6y", FaultCode.TOO_COMMON),
        ("P@ssw0rd 2024!", FaultCode.TOO_COMMON),
        ("correcthorsebatterystaple", FaultCode.TOO_COMMON),
        ("ada.lovelace@example.org", FaultCode.IS_THE_ADDRESS),
        ("ADA.Lovelace", FaultCode.IS_THE_ADDRESS),
        ("ada.lovelace wrote it", None),
    ],
)
def test_a_password_is_long_rare_and_not_the_address(password: str, fault: FaultCode | None) -> None:
    assert passwords.fault_in(password, ["ada.lovelace@example.org"]) == fault


def test_the_list_has_a_thousand_that_are_long_enough_to_be_tried_here() -> None:
    assert sum(len(password) >= passwords.SHORTEST for password in passwords.COMMON) >= 1000


def test_every_listed_password_is_refused_however_it_is_capitalised() -> None:
    assert [password for password in passwords.COMMON if not passwords.is_common(password.upper())] == []


def test_the_same_password_typed_on_two_keyboards_is_the_same() -> None:
    assert passwords.normalised("cafe\u0301") == passwords.normalised("caf\u00e9")
    assert passwords.normalised("ﬁne") == "fine"
