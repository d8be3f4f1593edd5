import pytest
from argon2 import Type, extract_parameters

from api_service.errors import ViolationCode
from api_service.security import passwords


@pytest.mark.parametrize(
    ("password", "violation"),
    [
        ("elevenchars", ViolationCode.TOO_SHORT),
        ("four quiet words here", None),
        ("twelve chars", None),
        ("🦉" * 12, None),
        ("x7" * 128, None),
        ("x7" * 128 + "y", ViolationCode.TOO_LONG),
        ("aaaaaaaaaaaa", ViolationCode.TOO_COMMON),
        ("PasswordPassword", ViolationCode.TOO_COMMON),
        ("qwertyuiop123", ViolationCode.TOO_COMMON),
        ("1q2w3e4r5t6y", ViolationCode.TOO_COMMON),
        ("P@ssw0rd 2024!", ViolationCode.TOO_COMMON),
        ("correcthorsebatterystaple", ViolationCode.TOO_COMMON),
        ("ada.lovelace@example.org", ViolationCode.IS_THE_ADDRESS),
        ("ADA.Lovelace", ViolationCode.IS_THE_ADDRESS),
        ("ada.lovelace wrote it", None),
    ],
)
def test_a_password_must_be_long_uncommon_and_not_the_address(password: str, violation: ViolationCode | None) -> None:
    assert passwords.violation_in(password, ["ada.lovelace@example.org"]) == violation


@pytest.mark.parametrize(
    ("password", "address"),
    [
        ("ada@b\u00fccher.example", "ada@xn--bcher-kva.example"),
        ("ADA@B\u00dcCHER.EXAMPLE", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "Ada@xn--bcher-kva.example"),
        ("+33 6 12 34 56 78", "+33612345678"),
        ("+33-(6)-12.34.56.78", "+33612345678"),
        ("0033612345678", "+33612345678"),
        ("06 12 34 56 78", "+33612345678"),
        ("336 1234 5678", "+33612345678"),
        ("6 70 12 34 56", "+237670123456"),
        ("8 (912) 345-67-89", "+79123456789"),
    ],
)
def test_each_spelling_of_the_address_is_rejected_as_a_password(password: str, address: str) -> None:
    assert passwords.violation_in(password, [address]) is ViolationCode.IS_THE_ADDRESS


@pytest.mark.parametrize("password", ["+33 6 12 34 56 79", "my 0612345678", "12 34 56 78 90 12", "--- 5678 ---"])
def test_a_password_may_look_like_a_number(password: str) -> None:
    assert passwords.violation_in(password, ["+33612345678"]) is None


@pytest.mark.parametrize("space", [" ", "\u3000", "\t", "\u00a0"])
def test_a_password_of_spaces_is_rejected(space: str) -> None:
    assert passwords.violation_in(passwords.normalised(space * 12), []) is ViolationCode.TOO_COMMON


def test_the_list_of_common_passwords_has_a_thousand_of_valid_length() -> None:
    assert sum(len(password) >= passwords.MIN_LENGTH for password in passwords.COMMON) >= 1000


def test_every_listed_password_is_rejected_in_any_capitalization() -> None:
    assert [password for password in passwords.COMMON if not passwords.is_common(password.upper())] == []


def test_unicode_variants_of_a_password_are_equal() -> None:
    assert passwords.normalised("cafe\u0301") == passwords.normalised("caf\u00e9")
    assert passwords.normalised("ﬁne") == "fine"


def test_password_hashing_costs_three_times_the_owasp_minimum() -> None:
    parameters = extract_parameters(passwords.hash_password("four quiet words here"))
    assert parameters.type is Type.ID
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (4, 31 * 1024, 1)


def test_without_an_account_the_same_hash_is_computed() -> None:
    assert passwords.is_current_hash(passwords.DUMMY_HASH)
    assert not passwords.verify_password(passwords.DUMMY_HASH, "four quiet words here")
    assert len(passwords.DUMMY_HASH) == len(passwords.hash_password("four quiet words here"))
