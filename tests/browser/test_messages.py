"""E-mails in a real browser: contrast in both modes, and no scrolling sideways on a small phone."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from outbox_relay.rendering import Brand, Look, Renderer, Sender, preview
from outbox_relay.rendering.colours import LEAST_CONTRAST, contrast
from outbox_relay.rendering.samples import KEYS
from shared.vocabulary import Channel, Locale, Template

BRAND = Brand("Acme", "#ffcc00", "https://acme.example/logo.png", "help@acme.example", "Acme Ltd, 1 High Street")
RENDERER = Renderer(
    KEYS,
    "https://signpost.example",
    Sender("Signpost", "no-reply@signpost.example"),
    look=Look(BRAND, console_url="https://console.example"),
)
SMALL_PHONE = {"width": 320, "height": 568}

# Of each element with text of its own: its colour, and the first ground behind it that is not transparent.
COLOURS = """() => [...document.body.querySelectorAll("*")]
  .filter(each => [...each.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
  .map(each => {
    let ground = each;
    while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
    return [each.textContent.trim(), getComputedStyle(each).color, getComputedStyle(ground).backgroundColor];
  })"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport=SMALL_PHONE, offline=True) as context:
        yield context.new_page()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_all_text_can_be_read_on_its_ground_and_fits_a_small_phone(page: Page, mode: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=mode)
    grounds = set()
    for template in Template:
        page.set_content(preview(RENDERER, template, Channel.EMAIL, Locale.FR).html or "")
        written = page.evaluate(COLOURS)
        grounds |= {ground for _, _, ground in written}
        assert len(written) > 2
        assert [text for text, ink, ground in written if contrast(hexed(ink), hexed(ground)) < LEAST_CONTRAST] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.evaluate("document.querySelector('img').alt") == "Acme"
    assert ("rgb(255, 255, 255)" in grounds) is (mode == "light")


def test_a_code_is_selected_whole_by_one_click(page: Page) -> None:
    page.set_content(preview(RENDERER, Template.ACTIVATION, Channel.EMAIL, Locale.EN).html or "")
    code = page.locator(".code")
    code.click()
    assert page.evaluate("getSelection().toString().trim()") == code.inner_text()


def hexed(colour: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
