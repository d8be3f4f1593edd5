import re
import string
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secrets import (
    LinkUse,
    SecretKeys,
    UnknownKeyError,
    address_id,
    client_hash,
    code_for,
    is_code_of,
    link_token_for,
    number_hash,
    request_mac,
    signing_seed,
    tenant_password,
    token_id_of_link,
)

KEY, OTHER = b"k" * 32, b"o" * 32
TOKEN = UUID("0123456789abcdef0123456789abcdef")


@given(st.uuids(), st.binary(min_size=32, max_size=64))
def test_a_code_has_six_digits_and_is_reproducible(token_id: UUID, key: bytes) -> None:
    code = code_for(token_id, key)
    assert len(code) == 6
    assert code.isdecimal()
    assert is_code_of(token_id, key, code)


def test_codes_and_links_do_not_change_between_releases() -> None:
    # A change here makes every code and link that is on its way useless.
    assert code_for(TOKEN, KEY) == "381447"
    assert link_token_for(TOKEN, KEY) == "ASNFZ4mrze8BI0VniavN7w.m3DGlz_0x2bSt9ACMW50V7WPpWfNVLIjS7DhC-YMEI4"


def test_other_derived_values_do_not_change_between_releases() -> None:
    # A change here signs out all users, loses counts and stored responses, and locks organizations out.
    assert number_hash("+33612345678", KEY) == "132c832740ba58d509c15bf1a7796703"
    assert str(address_id("ada@example.org", KEY)) == "8dcccf05-189d-3081-5e55-c4216edf03fc"
    assert signing_seed(KEY).hex() == "a9ae6c6f3073cbf337ab7777d5714ceb0a74c4d3b93aaeded4dfdc10ab4f7f87"
    assert request_mac(b"r", KEY).hex() == "3625cd63aa03dac50fb321e6b912fddcae2e9e6f133c30384ea97e0822149a09"
    assert tenant_password(TOKEN, KEY) == "6pEeyvh9908rfNpF00HmlJRRq1xD-3D4eUPBvjW9psk"


def test_the_newest_key_is_the_first_and_no_key_is_shown() -> None:
    keys = SecretKeys({"new": OTHER, "old": KEY})
    assert keys.newest_id == "new"
    assert keys["old"] == KEY
    assert repr(keys) == "SecretKeys()"


def test_a_code_may_begin_with_zeros() -> None:
    codes = (code_for(UUID(int=number), KEY) for number in range(5000))
    assert next(code for code in codes if code.startswith("00")) == "003353"


@given(st.uuids(), st.binary(min_size=32, max_size=64))
def test_a_link_token_is_url_safe(token_id: UUID, key: bytes) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", link_token_for(token_id, key))


def test_another_key_or_token_gives_another_code() -> None:
    codes = {code_for(uuid4(), key) for key in (KEY, OTHER) for _ in range(500)}
    assert len(codes) > 950


@pytest.mark.parametrize("offered", ["", "12345", "1234567", "十二三四五六", "abcdef", "\0" * 6])
def test_a_wrong_code_is_rejected_without_an_exception(offered: str) -> None:
    assert not is_code_of(TOKEN, KEY, offered)


def test_any_current_key_verifies_a_link() -> None:
    link = link_token_for(TOKEN, KEY)
    assert token_id_of_link(link, SecretKeys({"new": OTHER, "old": KEY})) == TOKEN
    assert token_id_of_link(link, SecretKeys({"new": OTHER})) is None


def test_a_link_works_for_its_use_only() -> None:
    keys = SecretKeys({"k": KEY})
    links = {use: link_token_for(TOKEN, KEY, use) for use in LinkUse}
    for use, link in links.items():
        assert [other for other in LinkUse if token_id_of_link(link, keys, other)] == [use]


def test_the_hash_of_a_client_depends_on_user_kind_text_and_key() -> None:
    hashes = {
        client_hash(user_id, kind, text, key)
        for user_id in (TOKEN, uuid4())
        for kind in ("device", "network")
        for text in ("", "192.0.2.*")
        for key in (KEY, OTHER)
    }
    assert (len(hashes), {len(each) for each in hashes}) == (16, {32})


@given(st.text())
def test_a_link_without_a_valid_signature_is_rejected(text: str) -> None:
    assert token_id_of_link(text, SecretKeys({"k": KEY})) is None


def test_a_link_has_one_encoding() -> None:
    link = link_token_for(TOKEN, KEY)
    spellings = [f"{link}=", f"{link}==", link.replace(".", "=.", 1), link.replace(".", "==.", 1)]
    alphabet = string.ascii_letters + string.digits + "-_"
    spellings += [link[:-1] + last for last in alphabet if last != link[-1]]
    assert [text for text in spellings if token_id_of_link(text, SecretKeys({"k": KEY}))] == []


@given(st.integers(min_value=0), st.characters())
def test_a_link_with_a_changed_character_is_rejected(position: int, character: str) -> None:
    link = link_token_for(TOKEN, KEY)
    at = position % len(link)
    changed = link[:at] + character + link[at + 1 :]
    assert changed == link or token_id_of_link(changed, SecretKeys({"k": KEY})) is None


def test_a_missing_key_is_named_in_the_error() -> None:
    with pytest.raises(UnknownKeyError, match="k9"):
        SecretKeys({"k1": KEY})["k9"]
