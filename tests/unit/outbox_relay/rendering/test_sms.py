"""SMS texts: one segment of GSM-7 in each language, and the line that phones detect."""

from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_relay.rendering.branding import Sender
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.rendering.sms import sms_name
from outbox_relay.sms_segments import Alphabet, alphabet_of, segments_in
from shared.secrets import code_for
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, Locale
from tests.support.claimed import A_TOKEN, a_claimed_message
from tests.support.rendering import KEY, KEYS

LONGEST_SENSIBLE_NAME = 24

every_template = pytest.mark.parametrize("template", TEMPLATES)
every_locale = pytest.mark.parametrize("locale", Locale)


def text_of(
    template: Template, locale: Locale, *, product: str = "Signpost", domain: str | None = None, month: int = 11
) -> str:
    expires_at = datetime(2026, month, 28, 23, 59, tzinfo=UTC)
    message = a_claimed_message(template=template, channel=Channel.SMS, locale=locale, expires_at=expires_at)
    return renderer_of(product, domain).render(message).decode()


@cache
def renderer_of(product: str, domain: str | None) -> Renderer:
    """Compile the templates once for all tests with the same values."""
    sender = Sender(product, "no-reply@signpost.example")
    return Renderer(KEYS, "https://signpost.example", sender, one_tap_domain=domain)


@every_template
@every_locale
@pytest.mark.parametrize("product", ["Signpost", "X" * LONGEST_SENSIBLE_NAME, "Hôtel de l\u2019Éléphant rêvé"])
@pytest.mark.parametrize("domain", [None, "signpost.example"])
def test_an_sms_has_a_single_segment_and_with_a_link_two(
    template: Template, locale: Locale, product: str, domain: str | None
) -> None:
    text = text_of(template, locale, product=product, domain=domain)
    segments = 2 if "end_link" in template.values else 1
    assert (alphabet_of(text), segments_in(text), counted(text)) == (Alphabet.GSM_7, segments, segments)


@every_locale
def test_an_sms_has_a_single_segment_in_each_month(locale: Locale) -> None:
    texts = [text_of(Template("activation"), locale, month=month) for month in range(1, 13)]
    assert {(alphabet_of(text), segments_in(text)) for text in texts} == {(Alphabet.GSM_7, 1)}


@every_template
@every_locale
def test_an_sms_starts_with_the_sender_and_contains_no_name(template: Template, locale: Locale) -> None:
    text = text_of(template, locale)
    assert text.startswith("Signpost")
    assert "Ada" not in text


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("Signpost", "Signpost"),
        ("Café é à ü ñ", "Café é à ü ñ"),
        ("Hôtel Forêt Ça ça", "Hotel Foret Ça ca"),
        ("L\u2019Étoile \u2014 1", "L'Étoile - 1"),
        ("Почта", "Почта"),
        ("ê 名", "ê 名"),
    ],
)
def test_a_name_loses_only_characters_that_need_unicode_sms(product: str, name: str) -> None:
    assert sms_name(product) == name


@every_locale
def test_the_one_tap_line_is_last_with_domain_and_code(locale: Locale) -> None:
    plain = text_of(Template("activation"), locale)
    assert "@" not in plain
    line = f"@signpost.example #{code_for(A_TOKEN, KEY)}"
    assert text_of(Template("activation"), locale, domain="signpost.example") == f"{plain}\n{line}"


@every_locale
def test_an_sms_without_a_code_has_no_one_tap_line(locale: Locale) -> None:
    assert text_of(Template("account_exists"), locale, domain="signpost.example") == text_of(
        Template("account_exists"), locale
    )


# An independent count by 3GPP TS 23.038 and 23.040: characters of one septet, and of two.
ONE_SEPTET = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
TWO_SEPTETS = set("\f^{}\\[~]|€")


def counted(text: str) -> int:
    """Count the segments of a text, one after the other."""
    if set(text) <= ONE_SEPTET | TWO_SEPTETS:
        widths = [2 if character in TWO_SEPTETS else 1 for character in text]
        alone, joined = 160, 153
    else:
        widths = [2 if ord(character) > 0xFFFF else 1 for character in text]
        alone, joined = 70, 67
    if sum(widths) <= alone:
        return 1
    segments = 0
    while widths:
        fitting = max(length for length in range(joined + 1) if sum(widths[:length]) <= joined)
        widths, segments = widths[fitting:], segments + 1
    return segments


@given(text=st.text(max_size=400) | st.text(alphabet="ab€{é😀ê", max_size=400))
def test_segments_match_an_independent_count(text: str) -> None:
    assert segments_in(text) == counted(text)
