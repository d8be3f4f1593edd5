"""E-mails in a real browser: contrast in both modes, and no scrolling sideways on a small phone."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from outbox_relay.rendering.branding import Brand, Branding, Sender
from outbox_relay.rendering.preview import SAMPLE_KEYS, preview
from outbox_relay.rendering.renderer import Renderer
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, Locale
from tests.support.contrasts import texts_on

BRAND = Brand("Acme", "#ffcc00", "https://acme.example/logo.png", "help@acme.example", "Acme Ltd, 1 High Street")
SMALL_PHONE = {"width": 320, "height": 568}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(
        SAMPLE_KEYS,
        "https://signpost.example",
        Sender("Signpost", "no-reply@signpost.example"),
        branding=Branding(BRAND, console_url="https://console.example"),
    )


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport=SMALL_PHONE, offline=True) as context:
        yield context.new_page()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_all_text_is_readable_and_fits_a_small_phone(
    page: Page, renderer: Renderer, mode: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=mode)
    grounds = set()
    for template in TEMPLATES:
        page.set_content(preview(renderer, template, Channel.EMAIL, Locale.FR).html or "")
        written = texts_on(page)
        grounds |= {one.ground for one in written}
        assert len(written) > 2
        assert [one for one in written if not one.is_readable] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.evaluate("document.querySelector('img').alt") == "Acme"
    assert ("#ffffff" in grounds) is (mode == "light")


def test_a_code_is_selected_whole_by_one_click(page: Page, renderer: Renderer) -> None:
    page.set_content(preview(renderer, Template("activation"), Channel.EMAIL, Locale.EN).html or "")
    code = page.locator(".code")
    code.click()
    assert page.evaluate("getSelection().toString().trim()") == code.inner_text()
