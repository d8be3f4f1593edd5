"""The page with the API's documentation, in a real browser."""

from collections.abc import Iterator
from threading import Thread
from typing import Literal

import pytest
from flask import Flask
from playwright.sync_api import Browser, ViewportSize, expect
from werkzeug.serving import make_server

from api_service.app import add_routes

SMALL_PHONE: ViewportSize = {"width": 320, "height": 568}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
GROUNDS: dict[Literal["light", "dark"], str] = {"light": "rgb(246, 247, 249)", "dark": "rgb(17, 21, 28)"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    app = Flask("api_service", static_folder=None)
    add_routes(app)
    server = make_server("127.0.0.1", 0, app)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/docs"
    server.shutdown()


def test_the_page_fits_each_window_and_follows_light_and_dark(browser: Browser, address: str) -> None:
    complaints: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", lambda line: complaints.append(line.text))
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        for viewport in (SMALL_PHONE, DESKTOP):
            page.set_viewport_size(viewport)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        for scheme, ground in GROUNDS.items():
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    assert complaints == []


def test_each_problem_links_to_its_description(browser: Browser, address: str) -> None:
    with browser.new_context(viewport=DESKTOP, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        page.locator("#post_resend").get_by_text("Problems", exact=True).click()
        page.locator("#post_resend").get_by_role("link", name="resend_too_soon").click()

        expect(page.locator("#problem-resend_too_soon")).to_be_in_viewport()
        assert page.locator(":target").get_attribute("id") == "problem-resend_too_soon"
