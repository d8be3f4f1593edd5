from datetime import UTC, datetime, timedelta, timezone

import pytest

from outbox_relay.rendering.values import expiry_text, greeted_name, header_date
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
def test_a_name_is_greeted_on_one_line_of_60_characters(given: str, greeted: str) -> None:
    assert greeted_name(given) == greeted


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
def test_without_a_name_there_is_none_to_greet(name: str | None) -> None:
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
def test_an_expiry_is_told_in_the_language_of_the_message_and_never_too_late(
    locale: Locale, channel: Channel, day: int, expected: str
) -> None:
    moment = datetime(2026, 8, day, 9, 5, 59, 999_999, tzinfo=UTC)
    assert expiry_text(moment, locale, channel) == expected


def test_times_of_another_zone_are_told_in_utc() -> None:
    moment = datetime(2026, 11, 21, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert expiry_text(moment, Locale.EN, Channel.EMAIL) == "20 November 2026, 23:30 UTC"
    assert header_date(moment) == "Fri, 20 Nov 2026 23:30:00 +0000"
