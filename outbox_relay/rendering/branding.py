"""The sender and the brand of messages, and a palette of readable colours (WCAG 2.2)."""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from pathlib import Path

from shared.addresses import InvalidAddressError, ascii_email

DEFAULT_COLOUR = "#1d4ed8"
"""White on it has a contrast of 6.7."""

LEAST_CONTRAST = 4.5
"""For text of any size (WCAG 2.2, success criterion 1.4.3)."""

WHITE, BLACK = "#ffffff", "#000000"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_STEPS = 20
_NAME_AND_ADDRESS = re.compile(r'"?(?P<name>[^"<>]*[^"<>\s])"?\s*<(?P<address>[^<>]+)>')


@dataclass(frozen=True)
class Sender:
    """The name and address that e-mails come from. Replies go to ``reply_to``, or else to the address."""

    name: str
    address: str
    reply_to: Address | None = None

    @property
    def domain(self) -> str:
        """The domain of the address, which also makes Message-IDs unique."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True)
class Brand:
    """The brand of the messages. The logo is at an https URL; ``support`` is an e-mail address.

    ``app_url`` is where people use the product.
    """

    name: str
    colour: str = DEFAULT_COLOUR
    logo_url: str | None = None
    support: str | None = None
    footer: str | None = None
    app_url: str | None = None


@dataclass(frozen=True)
class Branding:
    """A brand, a folder of templates that override the default ones, and the URL of the operator console."""

    brand: Brand
    theme_folder: Path | None = None
    console_url: str | None = None


@dataclass(frozen=True)
class Scheme:
    """The colours of a message in light or dark mode."""

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
    """The colours of a brand: its own for buttons, the text on them, and a scheme for each mode."""

    brand: str
    on_brand: str
    light: Scheme
    dark: Scheme


def parse_sender(text: str) -> Sender:
    """Parse ``Name <address>``. Raises ValueError with a predicate."""
    match = _NAME_AND_ADDRESS.fullmatch(text.strip())
    if match is None or not text.isprintable():
        raise ValueError("is not Name <address>")
    try:
        address = ascii_email(match["address"].strip())
    except InvalidAddressError as error:
        raise ValueError("does not hold a plain e-mail address between < and >") from error
    return Sender(match["name"].strip(), address)


def parse_reply_to(text: str) -> Address:
    """Parse ``Name <address>`` or an address alone. Raises ValueError with a predicate."""
    if "<" in text:
        named = parse_sender(text)
        return Address(named.name, addr_spec=named.address)
    try:
        return Address(addr_spec=ascii_email(text.strip()))
    except InvalidAddressError as error:
        raise ValueError("is neither Name <address> nor a plain e-mail address") from error


def colour_from(text: str) -> str:
    """Parse ``#rrggbb``. Raises ValueError with a predicate."""
    colour = text.strip().lower()
    if not _COLOUR.fullmatch(colour):
        raise ValueError("is not #rrggbb")
    return colour


def palette_of(brand: str) -> Palette:
    """Return the palette for a brand's colour, ``#rrggbb``."""
    light_card, dark_card = WHITE, "#1a202b"
    return Palette(
        brand,
        text_on(brand),
        Scheme(
            "#eef1f5", light_card, "#1f2733", "#586174", "#f1f4f8", "#14213d", "#dde2ea", legible(brand, light_card)
        ),
        Scheme("#11151c", dark_card, "#e6e9ef", "#a3acbd", "#11151c", WHITE, "#2c3442", legible(brand, dark_card)),
    )


def text_on(background: str) -> str:
    """Return white if it is readable on the background, otherwise black. If white is not readable, black always is."""
    return WHITE if contrast(WHITE, background) >= LEAST_CONTRAST else BLACK


def legible(colour: str, background: str) -> str:
    """Return the colour, mixed with just enough black or white to be readable on the background."""
    end = text_on(background)
    shades = (_mixed(colour, end, step / _STEPS) for step in range(_STEPS + 1))
    return next(shade for shade in shades if contrast(shade, background) >= LEAST_CONTRAST)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    # The weights and the curve of sRGB, as in WCAG's definition of relative luminance.
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - the standard's own


def _mixed(colour: str, end: str, share: float) -> str:
    pairs = zip(_parts(colour), _parts(end), strict=True)
    return "#" + "".join(f"{round(part + (limit - part) * share):02x}" for part, limit in pairs)


def _parts(colour: str) -> bytes:
    return bytes.fromhex(colour.removeprefix("#"))
