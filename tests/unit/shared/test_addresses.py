import pytest

from shared.addresses import InvalidAddressError, canonical_email, canonical_phone, deliverable_email, masked


@pytest.mark.parametrize(
    ("written", "deliverable", "canonical"),
    [
        ("Ada@Example.ORG", "Ada@example.org", "ada@example.org"),
        ("ada+tag@exämple.org", "ada+tag@xn--exmple-cua.org", "ada+tag@xn--exmple-cua.org"),
        ("o'hara@example.org", "o'hara@example.org", "o'hara@example.org"),
    ],
)
def test_two_ways_of_writing_an_address_are_one(written: str, deliverable: str, canonical: str) -> None:
    assert deliverable_email(written) == deliverable
    assert canonical_email(deliverable) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "", "ada", "ada@", "@example.org", "ada@example", "a b@example.org", "ada@example.org\r\nBcc: eve@example.org",
        "ada@exam\0ple.org", "ädä@example.org", "=?utf-8?q?ada?=@example.org", '"a b"@example.org', "ada@[127.0.0.1]",
        "ada@example.org,eve@example.org", "Ada <ada@example.org>", "a" * 65 + "@example.org",
        "ada@" + "a" * 250 + ".org", "ada@-example.org",
    ],
)  # fmt: skip
def test_what_no_server_would_take_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddressError):
        deliverable_email(text)


@pytest.mark.parametrize("written", ["+33612345678", "+33 6 12 34 56 78", "+33 (0)6 12-34-56-78"])
def test_a_number_has_one_form(written: str) -> None:
    assert canonical_phone(written) == "+33612345678"


@pytest.mark.parametrize(
    "text", ["", "0612345678", "+33", "+331", "+999123456789", "call me", "+33612345678;ext=5", "+336123456789999999"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddressError):
        canonical_phone(text)


@pytest.mark.parametrize(
    ("address", "mask"),
    [("ada@example.org", "a…@example.org"), ("+33612345678", "+33…78"), ("@example.org", "…@example.org")],
)
def test_a_mask_is_enough_for_its_owner_only(address: str, mask: str) -> None:
    assert masked(address) == mask
