"""What is written on a page in a browser, in which colour and on what ground."""

from dataclasses import dataclass

from playwright.sync_api import Page

from outbox_relay.rendering.branding import LEAST_CONTRAST, contrast

# Of each visible element with text of its own: its colour, and the first ground behind it that is not transparent.
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
class Written:
    """A piece of text, its ink and its ground as six hexadecimal digits."""

    text: str
    ink: str
    ground: str

    @property
    def is_readable(self) -> bool:
        return contrast(self.ink, self.ground) >= LEAST_CONTRAST


def written_on(page: Page) -> list[Written]:
    return [Written(text, _hexed(ink), _hexed(ground)) for text, ink, ground in page.evaluate(COLOURS)]


def _hexed(colour: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
