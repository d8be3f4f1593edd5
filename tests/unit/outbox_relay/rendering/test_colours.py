"""WCAG contrast: mails are readable in light and dark mode with any brand colour."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox_relay.rendering.branding import BLACK, LEAST_CONTRAST, WHITE, colour_from, contrast, palette_of, text_on

colours = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


@given(brand=colours)
@example(brand="#777777")
@example(brand="#767676")
def test_all_text_of_any_brand_is_readable_in_light_and_dark_mode(brand: str) -> None:
    palette = palette_of(brand)
    pairs = [(palette.on_brand, brand)]
    for scheme in (palette.light, palette.dark):
        pairs += [(text, scheme.card) for text in (scheme.ink, scheme.quiet, scheme.link)]
        pairs += [(scheme.code_ink, scheme.code)]
    assert [pair for pair in pairs if contrast(*pair) < LEAST_CONTRAST] == []


def test_a_readable_colour_is_unchanged() -> None:
    palette = palette_of("#1d4ed8")
    assert (palette.light.link, palette.on_brand) == ("#1d4ed8", WHITE)


@pytest.mark.parametrize(
    ("ground", "text"), [("#1d4ed8", WHITE), ("#ffcc00", BLACK), ("#777777", BLACK), ("#767676", WHITE)]
)
def test_text_is_white_if_readable_and_black_otherwise(ground: str, text: str) -> None:
    assert text_on(ground) == text


def test_contrast_follows_the_standard() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("text", ["red", "#fff", "#12345g", "#1d4ed8; }", ""])
def test_a_colour_must_be_rrggbb(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is not #rrggbb$"):
        colour_from(text)
