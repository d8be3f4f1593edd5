"""Helpers for browser tests of the console's pages."""

from typing import Any
from uuid import UUID

from playwright.sync_api import Page, expect

from tests.support.outbox import Outbox


def sign_in(page: Page, token: str, path: str = "/") -> None:
    page.goto(path)
    page.get_by_label("Your operator token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def put_dead(outbox: Outbox, error: str, *, count: int = 1, **columns: Any) -> list[UUID]:
    dead = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "attempt": "1"}
    failure = {"last_error_class": "'recipient'", "last_error": f"'{error}'", "provider": "'smtp:mx:25'"}
    return outbox.put(count=count, **(dead | failure | columns))


def refresh(page: Page, region: str) -> None:
    """Refresh the region at once, and wait for the response."""
    page.wait_for_load_state()  # the page's script is deferred
    with page.expect_response(lambda response: "hx-request" in response.request.headers):
        page.evaluate("region => htmx.trigger(region, 'refresh')", region)


def tab_to(page: Page, is_there: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"{is_there}"):
            return
    raise AssertionError(f"Tab does not lead to {is_there}")
