"""The texts on a page in a browser, with their colours and backgrounds."""

from dataclasses import dataclass

from playwright.sync_api import Page

from outbox_relay.rendering.branding import LEAST_CONTRAST, contrast

# For each visible element with text: its colour, and the nearest background that is not transparent.
COLOURS = """() => [...document.body.querySelectorAll("*")]
  .filter(each => [...each.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
  .filter(each => each.checkVisibility() && each.getBoundingClientRect().width > 1)
  .map(each => {
    let ground = each;
    while (ground.parentElement && getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)")
      ground = ground.parentElement;
    return [each.textContent.trim(), getComputedStyle(each).color, getComputedStyle(ground).backgroundColor];
  })"""


@dataclass(frozen=True)
class RenderedText:
    """A piece of text, with its colour and background as six hexadecimal digits."""

    text: str
    ink: str
    ground: str

    @property
    def is_readable(self) -> bool:
        return contrast(self.ink, self.ground) >= LEAST_CONTRAST


def texts_on(page: Page) -> list[RenderedText]:
    return [RenderedText(text, _hexed(ink), _hexed(ground)) for text, ink, ground in page.evaluate(COLOURS)]


def _hexed(colour: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
