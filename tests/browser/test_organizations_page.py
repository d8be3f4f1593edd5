"""The console shows a tenant database that someone dropped, and an operator repairs it there."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect

from devstack.cluster import Cluster
from shared.ids import uuid7
from tests.support.application import NOTES, setting_of
from tests.support.consoles import RunningConsole, operators_token, running_console
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.relays import running_relay
from tests.support.tenants import Tenants, tenants_on

TIMEOUT_MILLISECONDS = 90_000
LOOK_NOW = "update organizations set check_due_at = now()"
MOST_REPAIRED = "update outbox_messages set settled_at = settled_at - interval '2 minutes'"


@pytest.fixture
def tenants(cluster: Cluster) -> Iterator[Tenants]:
    with tenants_on(cluster) as tenants:
        yield tenants


@pytest.fixture
def console(database: Database, tenants: Tenants) -> Iterator[RunningConsole]:
    """A console, and a relay that may create databases."""
    environment = {"PROVISION_DATABASE_URL": tenants.url, "ORGANIZATION_MIGRATIONS": setting_of(NOTES)}
    with running_relay(database, **environment), running_console(database) as console:
        yield console


@pytest.fixture
def page(browser: Browser, console: RunningConsole, database: Database) -> Iterator[Page]:
    with browser.new_context(base_url=console.base_url) as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MILLISECONDS)
        page.goto("/organizations")
        page.get_by_label("token").fill(operators_token(database))
        page.get_by_role("button", name="Sign in").click()
        yield page


def test_a_dropped_database_is_shown_repaired_and_reported_as_empty(
    page: Page, database: Database, tenants: Tenants
) -> None:
    organization_id = healthy_organization(database)
    name = f"org_{organization_id.hex}"
    tenants.execute("insert into notes (text) values ('hello')", name)

    tenants.execute(f"drop database {name} with (force)")
    change(database, LOOK_NOW)
    page.goto("/organizations?health=lost")
    expect(page.get_by_role("link", name="Clinic")).to_be_visible(timeout=TIMEOUT_MILLISECONDS)
    page.get_by_role("link", name="Clinic").click()
    expect(page.locator("#one")).to_contain_text("there is no such database")
    expect(page.locator("#one")).to_contain_text("It has not been replaced yet.")

    page.get_by_label("Reason").fill("dropped by mistake")
    page.get_by_role("button", name="Repair").click()
    expect(page.get_by_role("status").filter(has_text="Repair requested.")).to_be_visible()
    # An earlier loss may be listed, too: a health check may have run before the organization's first database existed.
    unreplaced = page.locator("#one").get_by_text("It has not been replaced yet.")
    expect(unreplaced).to_have_count(0, timeout=TIMEOUT_MILLISECONDS)
    expect(page.locator("#one")).to_contain_text("An empty database replaced it")
    expect(page.locator("#one")).to_contain_text("2 tables")
    expect(page.get_by_role("heading", level=1)).to_have_text("Clinic")
    assert tenants.execute("select count(*) from notes", name) == [(0,)]


def healthy_organization(database: Database) -> UUID:
    """Add a ready organization, create its database as a repair does, and wait for a health check."""
    organization_id = uuid7()
    change(
        database,
        "insert into organizations (id, name, status, founder_id, database_name, ready_at)"
        f" values ('{organization_id}', 'Clinic', 'ready', gen_random_uuid(), 'org_{organization_id.hex}', now())",
    )
    change(database, f"select signpost_enqueue_repair('{organization_id}', '{uuid7()}')")
    eventually(lambda: change(database, LOOK_NOW) or was_healthy(database), seconds=90)
    change(database, MOST_REPAIRED)
    return organization_id


def was_healthy(database: Database) -> bool:
    with database.connect() as connection:
        found = connection.execute(
            "select from organizations where healthy_at is not null and health = 'healthy'"
            " and not exists (select from outbox_messages where status = 'pending')"
        )
        return found.rowcount == 1


def change(database: Database, statement: str) -> None:
    with database.connect() as connection:
        connection.execute(statement)
