import sys
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox_relay.rendering.values import greeted_name, header_date, time_text
from shared.vocabulary import Channel, Locale

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("given", "greeted"),
    [
        ("Ada", "Ada"),
        ("Ada King-Noel, Countess", "Ada King-Noel, Countess"),
        ("J. R. R. Tolkien", "J. R. R. Tolkien"),
        ("O'Brien & Söhne", "O'Brien & Söhne"),
        ("李小龍 😀", "李小龍 😀"),
        ("  Ada\r\n\0\u202e\tLovelace ", "Ada Lovelace"),
        ("a" * 60, "a" * 60),
        ("a" * 61, "a" * 59 + "…"),
    ],
)
def test_a_greeted_name_has_one_line_of_60_characters(given: str, greeted: str) -> None:
    assert greeted_name(given) == greeted


# A fast check covers usual names. White space at the end triggers the full check.
@given(name=st.text(alphabet=st.characters(max_codepoint=0x24F), max_size=70) | st.text())
@example(name="".join(filter(str.isalpha, map(chr, range(0x100))))[:60])
def test_white_space_around_a_name_changes_nothing(name: str) -> None:
    assert greeted_name(f" {name} ") == greeted_name(name)


def test_no_character_of_a_link_counts_as_a_letter() -> None:
    printed = ((character, unicodedata.normalize("NFKC", character)) for character in map(chr, range(sys.maxunicode)))
    suspects = [character for character, as_seen in printed if set(as_seen) & set("./@:。")]
    assert len(suspects) > 20
    assert [each for each in suspects if greeted_name(f"a{each}b ") != greeted_name(f"a{each}b")] == []


@pytest.mark.parametrize("locale", Locale)
@pytest.mark.parametrize("channel", Channel)
def test_an_expiry_contains_no_markup(locale: Locale, channel: Channel) -> None:
    days = [datetime(2026, month, day, 9, 5, tzinfo=UTC) for month in range(1, 13) for day in (1, 2)]
    assert not set("".join(time_text(day, locale, channel) for day in days)) & set("<>&\"'")


@pytest.mark.parametrize(
    "name",
    [
        "Click https://evil.example",
        "javascript://x",
        "WWW.evil",
        "evil.example",
        "you won: evil.com!",
        "ada@evil",
        "evil/prize",
        "evil\N{FULLWIDTH FULL STOP}com",
        "evil\N{IDEOGRAPHIC FULL STOP}com",
        "www\N{ONE DOT LEADER}evil",
        "evil\N{FULLWIDTH SOLIDUS}prize",
        "a" * 70 + " evil.com",
    ],
)
def test_a_name_that_could_become_a_link_is_not_greeted(name: str) -> None:
    assert greeted_name(name) is None


@pytest.mark.parametrize("name", [None, "", " \n\0"])
def test_without_a_name_the_greeting_has_none(name: str | None) -> None:
    assert greeted_name(name) is None


@pytest.mark.parametrize(
    ("locale", "channel", "day", "expected"),
    [
        (Locale.EN, Channel.EMAIL, 21, "21 August 2026, 09:05 UTC"),
        (Locale.EN, Channel.SMS, 21, "21 Aug 2026, 09:05 UTC"),
        (Locale.FR, Channel.EMAIL, 21, f"21 août 2026 à 09{NBSP}h{NBSP}05 UTC"),
        (Locale.FR, Channel.EMAIL, 1, f"1er août 2026 à 09{NBSP}h{NBSP}05 UTC"),
        (Locale.FR, Channel.SMS, 1, "01/08/2026 à 09h05 UTC"),
    ],
)
def test_an_expiry_is_localized_and_never_too_late(locale: Locale, channel: Channel, day: int, expected: str) -> None:
    moment = datetime(2026, 8, day, 9, 5, 59, 999_999, tzinfo=UTC)
    assert time_text(moment, locale, channel) == expected


def test_times_of_other_zones_are_shown_in_utc() -> None:
    moment = datetime(2026, 11, 21, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert time_text(moment, Locale.EN, Channel.EMAIL) == "20 November 2026, 23:30 UTC"
    assert header_date(moment) == b"Fri, 20 Nov 2026 23:30:00 +0000"
