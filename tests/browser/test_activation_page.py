"""The activation page in a real browser, as people meet it."""

from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from devstack.cluster import Cluster
from shared.secrets import link_token_for
from tests.support import plain_http
from tests.support.api import PASSWORD
from tests.support.databases import Database, fresh_database
from tests.support.keys import KEY
from tests.support.processes import RunningApi, running_api

SMALL_PHONE = {"width": 320, "height": 568}
HARMLESS = (
    "Failed to load resource: the server responded with a status of 40",
    # The page has a hint for people with several accounts, but does not know whose link it is.
    "[DOM] Password forms should have (optionally hidden) username fields",
)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on a small phone. The test fails on any browser error, such as a broken policy."""
    complaints: list[str] = []
    with browser.new_context(viewport=SMALL_PHONE, locale="en-GB") as context:
        page = context.new_page()
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    assert [text for text in complaints if not text.startswith(HARMLESS)] == []


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def api(database: Database) -> Iterator[RunningApi]:
    """An API for all tests of the module. Each test registers another person."""
    with running_api(database) as api:
        yield api


def test_the_button_activates_and_a_second_press_reports_it(page: Page, api: RunningApi, database: Database) -> None:
    link = link_of_a_registration(api, database, "ada@example.org")

    page.goto(link)
    assert status(database, "ada@example.org") == "pending"
    page.get_by_role("button", name="Confirm my address").click()
    expect(page.get_by_role("heading")).to_have_text("Your account is active")
    assert status(database, "ada@example.org") == "active"

    page.goto(link)
    page.get_by_role("button", name="Confirm my address").click()
    expect(page.get_by_role("heading")).to_have_text("This link does not work")


def test_the_keyboard_suffices(page: Page, api: RunningApi, database: Database) -> None:
    page.goto(link_of_a_registration(api, database, "bea@example.org"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Confirm my address")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading")).to_have_text("Your account is active")
    assert status(database, "bea@example.org") == "active"


def test_the_page_fits_a_small_phone_and_follows_light_and_dark(page: Page, api: RunningApi) -> None:
    page.goto(f"{api.base_url}/activate?token=t")

    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL_PHONE["width"]
    heights = [box["height"] for button in page.get_by_role("button").all() if (box := button.bounding_box())]
    assert [height >= 44 for height in heights] == [True, True]
    assert {scheme: ground(page, scheme) for scheme in ("light", "dark")} == {
        "light": "rgb(238, 241, 245)",
        "dark": "rgb(17, 21, 28)",
    }


def test_a_registration_can_be_declined_with_the_keyboard(page: Page, api: RunningApi, database: Database) -> None:
    page.goto(link_of_a_registration(api, database, "cay@example.org"))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="I did not register")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading")).to_have_text("Thank you for letting us know")
    assert status(database, "cay@example.org") == "retired"


def test_after_two_registrations_the_password_field_has_the_focus(
    page: Page, api: RunningApi, database: Database
) -> None:
    link = link_of_a_registration(api, database, "dot@example.org")
    another_registers(api, "dot@example.org")

    page.goto(link)
    page.get_by_role("button", name="Confirm my address").click()
    expect(page.get_by_role("heading")).to_have_text("Enter your password")
    expect(page.get_by_label("Password")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL_PHONE["width"]
    page.keyboard.type("not the right one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text("Wrong password")
    expect(page.get_by_label("Password")).to_be_focused()
    expect(page.get_by_label("Password")).to_have_value("")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading")).to_have_text("Your account is active")


def test_the_password_form_is_french_and_limits_attempts(browser: Browser, database: Database) -> None:
    with (
        running_api(database, RATE_LIMITS="on", LIMIT_FAILED_LOGINS_PER_NETWORK="2/minute") as api,
        browser.new_context(viewport=SMALL_PHONE, locale="fr-FR") as context,
    ):
        link, page = link_of_a_registration(api, database, "eve@example.org"), context.new_page()
        another_registers(api, "eve@example.org")
        page.goto(link)
        page.get_by_role("button", name="Confirmer mon adresse").click()
        expect(page.get_by_role("heading")).to_have_text("Saisissez votre mot de passe")
        for _ in range(2):
            page.get_by_label("Mot de passe").fill("un autre mot de passe")
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading")).to_have_text("Mot de passe incorrect")
        page.get_by_label("Mot de passe").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading")).to_have_text("Trop de mots de passe incorrects")


def ground(page: Page, scheme: str) -> str:
    """Return the page's background under that colour scheme."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def link_of_a_registration(api: RunningApi, database: Database, email: str) -> str:
    body = {"email": email, "password": PASSWORD}
    registration_id = UUID(plain_http.post(f"{api.base_url}/v1/registrations", json=body).json()["id"])
    with database.connect() as connection:
        [(token_id,)] = connection.execute("select id from tokens where user_id = %s", [registration_id]).fetchall()
    return f"{api.base_url}/activate?token={link_token_for(token_id, KEY)}"


def another_registers(api: RunningApi, email: str) -> None:
    body = {"email": email, "password": "another four words here"}
    assert plain_http.post(f"{api.base_url}/v1/registrations", json=body).status_code == httpx.codes.ACCEPTED


def status(database: Database, email: str) -> str:
    with database.connect() as connection:
        [(status,)] = connection.execute("select status from users where email = %s", [email]).fetchall()
    return str(status)
