"""The documentation site that `make docs` builds, opened from the disk in a real browser."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

ROOT = Path(__file__).parents[2]
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-c", ROOT / "docs"]
    subprocess.run([Path(sys.executable).with_name("sphinx-build"), *options, ROOT, folder], check=True)
    return folder


@pytest.fixture
def page(browser: Browser, site: Path) -> Iterator[Page]:
    """Open the start page in a browser that fails the test on any request beyond the disk."""
    requested: list[str] = []
    with browser.new_context(viewport=DESKTOP) as context:
        page = context.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.goto((site / "docs" / "index.html").as_uri())
        yield page
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []


def test_a_search_for_dead_letter_leads_to_the_section_about_them(page: Page) -> None:
    page.get_by_placeholder("Search").fill("dead letter")
    page.keyboard.press("Enter")
    page.locator("#search-results").get_by_role("link", name="Delivery > Dead letters", exact=True).click()

    expect(page.get_by_role("heading", name="Dead letters")).to_be_in_viewport()


def test_the_site_follows_the_browsers_colour_scheme_and_fits_a_phone(page: Page) -> None:
    page.get_by_role("link", name="Delivery", exact=True).first.click()
    expect(page.get_by_role("heading", name="Delivery", exact=True)).to_be_visible()
    page.wait_for_load_state()  # with the style sheets
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2

    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
