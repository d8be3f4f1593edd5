"""How messages look: whose they are, and the folder that may say it otherwise."""

from dataclasses import dataclass
from pathlib import Path

USUAL_COLOUR = "#1d4ed8"
"""White on it has a contrast of 6.7."""


@dataclass(frozen=True)
class Brand:
    """Whose messages they are. The logo is at an https URL; support is an address to write to."""

    name: str
    colour: str = USUAL_COLOUR
    logo_url: str | None = None
    support: str | None = None
    footer: str | None = None


@dataclass(frozen=True)
class Look:
    """A brand, a folder of templates that go before ours, and where operators find their page."""

    brand: Brand
    theme_folder: Path | None = None
    console_url: str | None = None
