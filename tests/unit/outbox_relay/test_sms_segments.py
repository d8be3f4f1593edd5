import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_relay.sms_segments import Alphabet, alphabet_of, encoded, segments_in

# 3GPP TS 23.038 §6.2.1 and §6.2.1.1 as printed there: by columns, unlike the code.
COLUMNS = (
    "@£$¥èéùìòÇ\nØø\rÅå", "Δ_ΦΓΛΩΠΨΣΘΞ", "ÆæßÉ", " !\"#¤%&'()*+,-./", "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO", "PQRSTUVWXYZÄÖÑÜ§", "¿abcdefghijklmno", "pqrstuvwxyzäöñüà",
)  # fmt: skip
GSM_7 = "".join(COLUMNS)
EXTENSION = "\f^{}\\[~]|€"

gsm_7_texts = st.text(st.sampled_from(GSM_7 + EXTENSION))
texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_the_default_alphabet_has_127_characters_and_its_extension_ten() -> None:
    assert len(set(GSM_7)) == 127
    assert {alphabet_of(character) for character in GSM_7 + EXTENSION} == {Alphabet.GSM_7}
    assert [len(encoded(character)) for character in EXTENSION] == [2] * 10


@pytest.mark.parametrize("character", "êçôû«»…œÀ\N{RIGHT SINGLE QUOTATION MARK}\N{EN DASH}\N{NO-BREAK SPACE}\x1b\t`")
def test_a_similar_looking_character_is_not_in_the_alphabet(character: str) -> None:
    assert alphabet_of(f"a{character}") is Alphabet.UCS_2


@pytest.mark.parametrize(
    ("text", "septets"),
    [("@", "00"), ("é", "05"), ("Δ", "10"), ("Æ", "1c"), (" ", "20"), ("¤", "24"), ("A", "41"), ("Ü", "5e"),
     ("à", "7f"), ("€", "1b65"), ("{}", "1b281b29"), ("~", "1b3d"), ("|", "1b40"), ("\f", "1b0a")],
)  # fmt: skip
def test_septets_match_the_standard(text: str, septets: str) -> None:
    assert encoded(text).hex() == septets


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the escape pair is not split, so one septet stays empty
        ("a" * 153 + "€" + "a" * 151, 2),
        ("ê" * 70, 1),
        ("ê" * 71, 2),
        ("ê" * 134, 2),
        ("ê" * 135, 3),
        ("👍" * 35, 1),
        ("👍" * 36, 2),
        ("👍" * 66, 2),
        ("👍" * 67, 3),  # 67 units hold 33 pairs
        ("a" * 69 + "ê", 1),
        ("a" * 70 + "ê", 2),
    ],
)
def test_segments_are_counted_as_phones_do(text: str, segments: int) -> None:
    assert segments_in(text) == segments


@given(gsm_7_texts)
def test_each_gsm_7_octet_is_a_septet_and_an_escape_starts_a_pair(text: str) -> None:
    octets = encoded(text)
    assert all(octet < 128 for octet in octets)
    assert len(octets) == len(text) + sum(character in EXTENSION for character in text)


@given(texts)
def test_a_text_fits_its_segments_and_no_fewer(text: str) -> None:
    segments, octets = segments_in(text), len(encoded(text))
    match alphabet_of(text):
        case Alphabet.GSM_7:
            alone, joined = 160, 153
        case Alphabet.UCS_2:
            alone, joined = 140, 134
            assert encoded(text).decode("utf-16-be") == text
    assert octets <= (alone if segments == 1 else joined * segments)
    if segments > 1:
        # All segments except the last are full, or lack room for a pair (in octets: 2 or 1).
        assert octets > (joined - 2) * (segments - 1)
        assert octets > alone


@given(texts, texts)
def test_a_longer_text_never_has_fewer_segments(text: str, more: str) -> None:
    assert segments_in(text + more) >= segments_in(text)
