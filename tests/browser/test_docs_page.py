"""The page with the API's documentation, in a real browser."""

from collections.abc import Iterator
from threading import Thread
from typing import Literal

import pytest
from flask import Flask
from playwright.sync_api import Browser, ViewportSize, expect
from werkzeug.serving import make_server

from api_service.app import add_routes

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SCHEMES: tuple[tuple[Literal["light", "dark"], bool], ...] = (("light", False), ("dark", True))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    app = Flask("api_service", static_folder=None)
    add_routes(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/docs"
    server.shutdown()


def test_the_page_shows_the_fields_and_problems_of_an_operation_without_breaking_its_security_policy(
    browser: Browser, address: str
) -> None:
    complaints: list[str] = []
    with browser.new_context(viewport=DESKTOP) as context:
        page = context.new_page()
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.get_by_role("button", name="POST /v1/registrations Register", exact=False).first.click()
        operation = page.locator(".opblock.is-open")
        expect(operation.get_by_text("full_name")).to_be_visible()
        expect(operation.get_by_text("too_many_requests").first).to_be_visible()
    assert complaints == []


def test_the_page_fits_a_phone_and_follows_light_and_dark(browser: Browser, address: str) -> None:
    for scheme, is_dark in SCHEMES:
        with browser.new_context(viewport=PHONE, color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(address)
            expect(page.locator(".opblock").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            assert page.evaluate("document.documentElement.classList.contains('dark-mode')") is is_dark
