"""The activation page in a real browser, as people meet it."""

from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from devstack.cluster import Cluster
from shared.secrets import link_token_for
from tests.support.api import PASSWORD
from tests.support.databases import Database, fresh_database
from tests.support.keys import KEY
from tests.support.processes import RunningApi, running_api

SMALL_PHONE = {"width": 320, "height": 568}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on a small phone; fails the test if the browser complained, as it does of a broken policy."""
    complaints: list[str] = []
    with browser.new_context(viewport=SMALL_PHONE, locale="en-GB") as context:
        page = context.new_page()
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    assert [text for text in complaints if "400 (BAD REQUEST)" not in text] == []


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def api(database: Database) -> Iterator[RunningApi]:
    """An API for all tests here: each of them registers somebody else."""
    with running_api(database) as api:
        yield api


def test_the_button_activates_and_pressing_it_again_says_so(page: Page, api: RunningApi, database: Database) -> None:
    link = link_of_a_registration(api, database, "ada@example.org")

    page.goto(link)
    assert status(database, "ada@example.org") == "pending"
    page.get_by_role("button", name="Confirm my address").click()
    expect(page.get_by_role("heading")).to_have_text("Your account is active")
    assert status(database, "ada@example.org") == "active"

    page.goto(link)
    page.get_by_role("button").click()
    expect(page.get_by_role("heading")).to_have_text("This link does not work")


def test_the_keyboard_is_enough(page: Page, api: RunningApi, database: Database) -> None:
    page.goto(link_of_a_registration(api, database, "bea@example.org"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading")).to_have_text("Your account is active")
    assert status(database, "bea@example.org") == "active"


def test_the_page_fits_a_small_phone_and_follows_light_and_dark(page: Page, api: RunningApi) -> None:
    page.goto(f"{api.base_url}/activate?token=t")

    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL_PHONE["width"]
    button = page.get_by_role("button").bounding_box()
    assert button
    assert button["height"] >= 44
    assert {scheme: ground(page, scheme) for scheme in ("light", "dark")} == {
        "light": "rgb(238, 241, 245)",
        "dark": "rgb(17, 21, 28)",
    }


def ground(page: Page, scheme: str) -> str:
    """Return the page's background under that colour scheme."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def link_of_a_registration(api: RunningApi, database: Database, email: str) -> str:
    body = {"email": email, "password": PASSWORD}
    registration_id = UUID(httpx.post(f"{api.base_url}/v1/registrations", json=body).json()["id"])
    with database.connect() as connection:
        [(token_id,)] = connection.execute("select id from tokens where user_id = %s", [registration_id]).fetchall()
    return f"{api.base_url}/activate?token={link_token_for(token_id, KEY)}"


def status(database: Database, email: str) -> str:
    with database.connect() as connection:
        [(status,)] = connection.execute("select status from users where email = %s", [email]).fetchall()
    return str(status)
