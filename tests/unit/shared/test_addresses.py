import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from phonenumbers import (
    SUPPORTED_REGIONS,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    example_number_for_type,
    format_number,
)

from shared.addresses import (
    InvalidAddressError,
    MissingCountryCodeError,
    ascii_email,
    canonical_email,
    canonical_phone,
    deliverable_email,
)
from shared.texts import masked


@pytest.mark.parametrize(
    ("written", "deliverable", "canonical"),
    [
        ("Ada@Example.ORG", "Ada@example.org", "ada@example.org"),
        ("ada+tag@exämple.org", "ada+tag@xn--exmple-cua.org", "ada+tag@xn--exmple-cua.org"),
        ("o'hara@example.org", "o'hara@example.org", "o'hara@example.org"),
        ("Zoë@example.org", "Zoë@example.org", "zoë@example.org"),
        ("Zoe\N{COMBINING DIAERESIS}@example.org", "Zoë@example.org", "zoë@example.org"),
        ("用户@例え.example", "用户@xn--r8jz45g.example", "用户@xn--r8jz45g.example"),
    ],
)
def test_different_notations_have_one_canonical_form(written: str, deliverable: str, canonical: str) -> None:
    assert deliverable_email(written) == deliverable
    assert canonical_email(deliverable) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "", "ada", "ada@", "@example.org", "ada@example", "a b@example.org", "ada@example.org\r\nBcc: eve@example.org",
        "ada@exam\0ple.org", "é" * 121 + "@example.org",
        "a\u200bb@example.org", "=?utf-8?q?ada?=@example.org", '"a b"@example.org', "ada@[127.0.0.1]",
        "ada@example.org,eve@example.org", "Ada <ada@example.org>", "a" * 65 + "@example.org",
        "ada@" + "a" * 250 + ".org", "ada@-example.org",
    ],
)  # fmt: skip
def test_undeliverable_addresses_are_rejected(text: str) -> None:
    with pytest.raises(InvalidAddressError):
        deliverable_email(text)


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # most texts are not addresses
@given(local=st.text(min_size=1, max_size=20))
@example(local="\N{KELVIN SIGN}ate")
@example(local="\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}da")
def test_a_unicode_address_never_equals_an_ascii_address(local: str) -> None:
    try:
        deliverable = deliverable_email(f"{local}@example.org")
    except InvalidAddressError:
        assume(False)  # noqa: FBT003 - hypothesis's signature
    assert canonical_email(deliverable).isascii() == deliverable.isascii()


def test_a_sender_address_must_be_ascii() -> None:
    assert ascii_email("Ada@bücher.example") == "Ada@xn--bcher-kva.example"
    with pytest.raises(InvalidAddressError):
        ascii_email("zoë@example.org")


@pytest.mark.parametrize("written", ["+33612345678", "+33 6 12 34 56 78", "+33 (0)6 12-34-56-78"])
def test_a_phone_number_has_one_form(written: str) -> None:
    assert canonical_phone(written) == "+33612345678"


@pytest.mark.parametrize(
    "text",
    [
        "", "+33", "+331", "+999123456789", "call me", "+33612345678;ext=5", "+336123456789999999",
        "tel:+33612345678", "+33612345678\n", "+1-800-FLOWERS", "\N{FULLWIDTH PLUS SIGN}33612345678",
    ],
)  # fmt: skip
def test_invalid_phone_numbers_are_rejected(text: str) -> None:
    with pytest.raises(InvalidAddressError):
        canonical_phone(text)


@pytest.mark.parametrize(
    "text",
    [
        "+19005550100", "+979123456789", "+33899123456", "+448712345678",  # at a premium
        "+33810123456",  # at shared cost
        "+447640123456",  # a pager's
        "+41860123456789",  # a voicemail box's
    ],
)  # fmt: skip
def test_numbers_of_unsuitable_types_are_rejected(text: str) -> None:
    with pytest.raises(InvalidAddressError):
        canonical_phone(text)


@pytest.mark.parametrize("text", ["+18005550100", "+442070313000", "+14155550100", "+445512345678", "+447012345678"])
def test_landlines_and_toll_free_numbers_are_accepted(text: str) -> None:
    assert canonical_phone(text) == text


def test_mobile_numbers_of_all_countries_are_accepted() -> None:
    numbers = [format_number(number, PhoneNumberFormat.E164) for number in mobile_numbers().values()]

    assert len(numbers) > 200
    assert [canonical_phone(number) for number in numbers] == numbers


def test_mobile_numbers_are_accepted_in_the_local_spelling_of_their_country() -> None:
    for region, number in mobile_numbers().items():
        local = format_number(number, PhoneNumberFormat.NATIONAL)
        assert canonical_phone(local, region) == format_number(number, PhoneNumberFormat.E164)


def mobile_numbers() -> dict[str, PhoneNumber]:
    examples = {region: example_number_for_type(region, PhoneNumberType.MOBILE) for region in SUPPORTED_REGIONS}
    return {region: number for region, number in examples.items() if number}


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("670123456", "CM", "+237670123456"),
        ("6 70 12-34.56", "CM", "+237670123456"),
        ("237 670 123 456", "CM", "+237670123456"),
        ("00237670123456", "CM", "+237670123456"),
        ("0033612345678", "CM", "+33612345678"),
        ("011 237 670123456", "US", "+237670123456"),
        ("+33 (0)6 12 34 56 78", "CM", "+33612345678"),
        ("(0)6 12 34 56 78", "FR", "+33612345678"),
        ("8 (912) 345-67-89", "RU", "+79123456789"),
    ],
)
def test_a_number_without_a_plus_is_read_as_dialled_in_the_region(written: str, region: str, number: str) -> None:
    assert canonical_phone(written, region) == number


@pytest.mark.parametrize(
    "text",
    [
        "0612345678", "+0612345678", "+670123456", "670123456 ext 5", "670123456x5", "call 670123456", "670-ABC-456",
        "\N{FULLWIDTH DIGIT SIX}70123456", "670123456\n", "112", "6701234567", "tel:670123456", "++237670123456", "(",
    ],
)  # fmt: skip
def test_numbers_that_are_invalid_in_the_region_are_rejected(text: str) -> None:
    with pytest.raises(InvalidAddressError) as refused:
        canonical_phone(text, "CM")
    assert not isinstance(refused.value, MissingCountryCodeError)


@pytest.mark.parametrize("text", ["670123456", "0612345678", "0033612345678", "(06) 12 34 56 78", "33612345678"])
def test_without_a_region_a_number_needs_its_country_code(text: str) -> None:
    with pytest.raises(MissingCountryCodeError):
        canonical_phone(text)


@pytest.mark.parametrize(
    ("address", "mask"),
    [("ada@example.org", "a…@example.org"), ("+33612345678", "+33…78"), ("@example.org", "…@example.org")],
)
def test_a_mask_hides_most_of_an_address(address: str, mask: str) -> None:
    assert masked(address) == mask
