"""Which colours can be read on which, by WCAG 2.2: what a brand chooses is shaded until everybody can."""

import re
from dataclasses import dataclass

LEAST_CONTRAST = 4.5
"""For text of any size (WCAG 2.2, success criterion 1.4.3)."""

WHITE, BLACK = "#ffffff", "#000000"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_STEPS = 20


@dataclass(frozen=True)
class Scheme:
    """The colours of a message, by light or in the dark."""

    page: str
    card: str
    ink: str
    quiet: str
    code: str
    code_ink: str
    line: str
    link: str


@dataclass(frozen=True)
class Palette:
    """The colours of a brand: its own on buttons, with text that can be read there, and a scheme for each mode."""

    brand: str
    on_brand: str
    light: Scheme
    dark: Scheme


def palette_of(brand: str) -> Palette:
    """Return the colours that go with a brand's own, ``#rrggbb``."""
    light_card, dark_card = WHITE, "#1a202b"
    return Palette(
        brand,
        text_on(brand),
        Scheme(
            "#eef1f5", light_card, "#1f2733", "#586174", "#f1f4f8", "#14213d", "#dde2ea", legible(brand, light_card)
        ),
        Scheme("#11151c", dark_card, "#e6e9ef", "#a3acbd", "#11151c", WHITE, "#2c3442", legible(brand, dark_card)),
    )


def colour_from(text: str) -> str:
    """Read ``#rrggbb``. Raises ValueError with a predicate for a fault of a setting."""
    colour = text.strip().lower()
    if not _COLOUR.fullmatch(colour):
        raise ValueError("is not #rrggbb")
    return colour


def text_on(ground: str) -> str:
    """Return white where that can be read, else black, which can be read wherever white cannot."""
    return WHITE if contrast(WHITE, ground) >= LEAST_CONTRAST else BLACK


def legible(colour: str, ground: str) -> str:
    """Return the colour, shaded towards black or white as little as it takes to be read on that ground."""
    end = text_on(ground)
    shades = (_mixed(colour, end, step / _STEPS) for step in range(_STEPS + 1))
    return next(shade for shade in shades if contrast(shade, ground) >= LEAST_CONTRAST)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    # The weights and the curve are sRGB's, as WCAG gives them under "relative luminance".
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - the standard's own


def _mixed(colour: str, end: str, share: float) -> str:
    pairs = zip(_parts(colour), _parts(end), strict=True)
    return "#" + "".join(f"{round(part + (limit - part) * share):02x}" for part, limit in pairs)


def _parts(colour: str) -> bytes:
    return bytes.fromhex(colour.removeprefix("#"))
