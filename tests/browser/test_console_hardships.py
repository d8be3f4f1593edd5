"""The console's pages with long data, ended sessions, and forms in use during an auto-refresh."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from operator_console.web.labels import EVENTS
from tests.support.console_pages import put_dead, refresh, sign_in
from tests.support.consoles import RunningConsole
from tests.support.outbox import Outbox

WIDTHS = (320, 390, 800, 1280)
LONG = "x" * 500
DOMAIN = ".".join(["d" * 60] * 3) + ".example"
ENDLESS_BULK = (
    "insert into bulk_actions (id, action, operator, reason, wanted, found)"
    " values (gen_random_uuid(), 'requeue', %s, %s, jsonb_build_object('provider', %s::text), 123456789) returning id"
)
ENDLESS_ORGANIZATION = (
    "insert into organizations (id, name, status, founder_id, database_name, ready_at, health, health_error, revision)"
    " select id, %s, 'ready', id, 'org_' || replace(id::text, '-', ''), now(), 'damaged', %s, %s"
    " from (select gen_random_uuid() as id) as one returning id"
)
ENDLESS_STEP = (
    "insert into organization_steps (organization_id, step, error_class, error) values (%s, 'database', 'provider', %s)"
)
SPREAD = """() => [...document.querySelectorAll("td, h1, .count, .what, .event, .facts dd")]
  .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0)
  .map(each => each.textContent.trim().slice(0, 40))"""


@pytest.fixture
def signed_in(browser: Browser, console: RunningConsole, token: str) -> Iterator[Page]:
    with browser.new_context(base_url=console.base_url) as context:
        page = context.new_page()
        sign_in(page, token)
        yield page


def put_endless_words(outbox: Outbox) -> list[str]:
    """Put long data wherever it can come from outside; return the pages that show it."""
    [message_id] = put_dead(
        outbox, LONG, recipient=f"'ada@{DOMAIN}'", provider=f"'{LONG[:200]}'", provider_message_id=f"'{LONG}'"
    )
    outbox.execute(
        "insert into delivery_attempts (message_id, attempt, outcome, provider, error_class, error)"
        f" values ('{message_id}', 1, 'retry', '{LONG[:200]}', 'recipient', '{LONG}')"
    )
    outbox.execute(
        "insert into operator_actions (operator, action, message_id, reason, before)"
        f" values ('{LONG[:64]}', 'reveal', '{message_id}', '{LONG}', '{{\"recipient\": \"a…@{DOMAIN}\"}}')"
    )
    [(bulk_id,)] = outbox.execute(ENDLESS_BULK, LONG[:64], LONG, LONG[:200])
    for action in EVENTS:
        outbox.execute(
            "insert into operator_actions (operator, action, message_id, bulk_id, reason, before, after)"
            " values (%s, %s, %s, %s, %s,"
            " jsonb_build_object('status', %s::text), jsonb_build_object('status', %s::text))",
            *(LONG[:64], action, message_id, bulk_id, LONG, LONG, LONG),
        )
    [(organization_id,)] = outbox.execute(ENDLESS_ORGANIZATION, LONG[:200], LONG, LONG[:200])
    outbox.execute(ENDLESS_STEP, organization_id, LONG)
    outbox.execute(
        "insert into providers (name, rate, last_failure_class, last_error) values (%s, %s, 'provider', %s)",
        LONG,
        "1/s",
        LONG,
    )
    paths = ["/", "/messages", "/messages/causes", "/bulk", f"/bulk/{bulk_id}", "/relays", "/audit", "/tokens"]
    paths += [f"/messages/{message_id}", f"/messages?provider={LONG[:200]}", f"/bulk/new?provider={LONG[:200]}"]
    return [*paths, "/organizations", f"/organizations/{organization_id}"]


def test_long_data_makes_no_page_wider(signed_in: Page, shared_outbox: Outbox) -> None:
    for path in put_endless_words(shared_outbox):
        signed_in.goto(path)
        for width in WIDTHS:
            signed_in.set_viewport_size(ViewportSize(width=width, height=900))
            assert signed_in.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            assert signed_in.evaluate(SPREAD) == [], (path, width)


def test_a_large_count_stays_beside_its_cause(signed_in: Page, shared_outbox: Outbox) -> None:
    put_dead(shared_outbox, "550 5.1.1 counted")
    signed_in.set_viewport_size(ViewportSize(width=1280, height=900))
    signed_in.goto("/messages/causes")
    cause = signed_in.get_by_role("listitem").filter(has_text="counted")
    cause.locator(".count").evaluate("count => { count.textContent = '123\u202f456'; }")
    count, what = cause.locator(".count").evaluate(
        "count => [count.getBoundingClientRect().left + count.scrollWidth,"
        " count.nextElementSibling.getBoundingClientRect().left]"
    )
    assert count < what


def test_auto_refresh_keeps_a_selected_option(signed_in: Page, shared_outbox: Outbox) -> None:
    [message_id] = put_dead(shared_outbox, "450 4.2.1 to be chosen", dead_reason="'exhausted'")
    signed_in.goto(f"/messages/{message_id}")
    signed_in.get_by_text("Correct the recipient").click()
    signed_in.locator("#locale").select_option("fr")
    signed_in.evaluate("document.activeElement.blur()")
    shared_outbox.execute("update outbox_messages set attempt = 6 where id = %s", message_id)
    assert not sends_refresh(signed_in)
    expect(signed_in.locator("#locale")).to_have_value("fr")
    signed_in.locator("#locale").select_option("")
    signed_in.evaluate("document.activeElement.blur()")
    assert sends_refresh(signed_in)
    expect(signed_in.get_by_text("6 of 8")).to_be_visible()


def sends_refresh(page: Page) -> bool:
    """Trigger a refresh of the message's page; return whether it sends a request."""
    page.wait_for_load_state()  # its script is deferred
    return bool(
        page.evaluate(
            """() => {
              let isAsked = false;
              document.addEventListener("htmx:beforeSend", () => { isAsked = true; }, {once: true});
              htmx.trigger("#one", "refresh");
              return isAsked;
            }"""
        )
    )


def test_a_form_after_the_sessions_end_leads_back_and_changes_nothing(
    signed_in: Page, shared_outbox: Outbox, token: str
) -> None:
    [message_id] = put_dead(shared_outbox, "550 5.1.1 too late")
    signed_in.goto(f"/messages/{message_id}")
    shared_outbox.execute("delete from console_sessions")
    signed_in.locator("#why").fill("gone for lunch")
    signed_in.get_by_role("button", name="Discard").click()
    expect(signed_in.get_by_role("status")).to_contain_text("Nothing was changed")
    signed_in.get_by_label("Your operator token").fill(token)
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url(f"**/messages/{message_id}")
    expect(signed_in.locator(".head")).to_contain_text("rejected")


def test_a_notice_stays_until_the_page_is_reloaded(signed_in: Page, shared_outbox: Outbox) -> None:
    [message_id] = put_dead(shared_outbox, "550 5.1.1 said once", token_id="null")
    signed_in.goto(f"/messages/{message_id}")
    signed_in.locator("#why").fill("a test")
    signed_in.get_by_role("button", name="Discard").click()
    notice = signed_in.get_by_role("status").filter(has_text="Discarded.")
    expect(notice).to_be_visible()
    refresh(signed_in, "#one")
    expect(notice).to_be_visible()
    signed_in.reload()
    expect(notice).to_be_hidden()
