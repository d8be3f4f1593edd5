"""The console in a real browser with a real relay: find dead messages, and see them sent."""

from collections.abc import Iterator
from itertools import product
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.console_pages import put_dead, refresh, sign_in, tab_to
from tests.support.consoles import RunningConsole
from tests.support.contrasts import texts_on
from tests.support.databases import Database
from tests.support.mail_sink import MailSink, mail_sink
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

DESKTOP = {"width": 1280, "height": 900}
SMALL_PHONE = {"width": 320, "height": 568}
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
PATHS = ("/", "/messages", "/messages?status=dead", "/messages/causes", "/bulk", "/bulk/new?status=dead", "/relays")
PATHS += ("/relays/pauses/template/activation", "/messages/bounces", "/suppressions", "/audit", "/tokens")
MODES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FAR = {"due_at": "now() + interval '1 hour'"}


@pytest.fixture(scope="module")
def arrivals(shared_database: Database) -> Iterator[MailSink]:
    """A mail server, and a relay that delivers requeued messages to it."""
    with mail_sink() as sink, running_relay(shared_database, EMAIL_PROVIDERS=sink.provider):
        yield sink


@pytest.fixture
def page(browser: Browser, console: RunningConsole) -> Iterator[Page]:
    with browser.new_context(viewport=DESKTOP, base_url=console.base_url) as context:
        yield context.new_page()


@pytest.fixture
def signed_in(page: Page, token: str) -> Page:
    sign_in(page, token)
    return page


def test_a_dead_message_is_found_by_cause_requeued_and_sent(
    signed_in: Page, shared_outbox: Outbox, arrivals: MailSink
) -> None:
    [message_id] = put_dead(shared_outbox, "550 5.7.9 mailbox moved", recipient="'mover@example.org'")
    signed_in.goto("/")
    cause = signed_in.get_by_role("listitem").filter(has_text="mailbox moved")
    cause.get_by_role("link", name="View").click()
    signed_in.get_by_role("link", name="View the message to m…@example.org").click()
    signed_in.locator("#why").fill("it has moved back")
    signed_in.get_by_role("button", name="Requeue").click()
    expect(signed_in.get_by_role("status").filter(has_text="Requeue requested")).to_be_visible()
    # Without a reload: the page refreshes itself.
    expect(signed_in.locator(".head .badge")).to_have_text("sent", timeout=30_000)
    expect(signed_in.get_by_text("it has moved back")).to_be_visible()
    assert arrivals.arrived[f"{message_id}@signpost.example"] == 1


def test_a_wrong_correction_keeps_the_form_and_a_right_one_shows_the_outcome(
    signed_in: Page, shared_outbox: Outbox, arrivals: MailSink
) -> None:
    unowned = {"template": "'welcome'", "token_id": "null", "recipient": "'bo@exmaple.org'"}
    [message_id] = put_dead(shared_outbox, "550 5.1.2 no such domain", **unowned)
    signed_in.goto(f"/messages/{message_id}")
    signed_in.get_by_text("Correct the recipient or the language").click()
    recipient, reason = signed_in.get_by_label("Recipient"), signed_in.locator("#why-correct")
    recipient.fill("bo@example")
    reason.fill("a slip of the pen")
    signed_in.get_by_role("button", name="Correct and requeue").click()
    expect(signed_in.get_by_role("alert")).to_contain_text("not a valid e-mail address")
    expect(signed_in.locator(".head")).to_contain_text("b…@exmaple.org")
    expect(recipient).to_have_value("bo@example")
    expect(recipient).to_be_focused()
    expect(reason).to_have_value("a slip of the pen")
    recipient.fill("bo@example.org")
    signed_in.get_by_role("button", name="Correct and requeue").click()
    # Without a reload: the page refreshes itself.
    expect(signed_in.locator(".head .badge")).to_have_text("sent", timeout=30_000)
    assert arrivals.arrived[f"{message_id}@signpost.example"] == 1


def test_all_messages_of_a_cause_are_counted_requeued_and_sent(
    signed_in: Page, shared_outbox: Outbox, arrivals: MailSink
) -> None:
    ids = put_dead(shared_outbox, "421 4.3.2 shutting down for a while", count=3)
    signed_in.goto("/")
    cause = signed_in.get_by_role("listitem").filter(has_text="shutting down")
    cause.get_by_role("link", name="Requeue or discard").click()
    expect(signed_in.get_by_role("heading", level=1)).to_have_text("Bulk action on 3 messages")
    signed_in.get_by_label("Reason").first.fill("it is up again")
    signed_in.get_by_role("button", name="Requeue 3").click()
    expect(signed_in.locator(".head .badge")).to_have_text("done", timeout=30_000)
    expect(signed_in.get_by_text("3 of 3: 3 requeued")).to_be_visible()
    signed_in.goto("/messages?status=sent")
    for message_id in ids:
        expect(signed_in.locator(f"#view-{message_id}")).to_be_visible(timeout=30_000)
    assert {arrivals.arrived[f"{message_id}@signpost.example"] for message_id in ids} == {1}


def test_a_discard_can_be_undone(signed_in: Page, shared_outbox: Outbox) -> None:
    [message_id] = put_dead(shared_outbox, "550 5.1.2 no such host")
    signed_in.goto(f"/messages/{message_id}")
    signed_in.locator("#why").fill("a test account")
    signed_in.get_by_role("button", name="Discard").click()
    expect(signed_in.locator(".head")).to_contain_text("discarded")
    signed_in.locator("#why-restore").fill("it was not")
    signed_in.get_by_role("button", name="Undo discard").click()
    expect(signed_in.locator(".head")).to_contain_text("rejected")


def test_a_channel_is_paused_after_a_count_of_its_codes_and_resumed(signed_in: Page, shared_outbox: Outbox) -> None:
    shared_outbox.put(channel="sms", recipient="'+33611111111'", expires_at="now() + interval '10 minutes'", **FAR)
    signed_in.goto("/relays")
    signed_in.get_by_text("Pause a channel or a template…").click()
    signed_in.get_by_role("link", name="sms", exact=True).click()
    signed_in.get_by_label("Reason").fill("the gateway is being moved")
    signed_in.get_by_label("Until").select_option("15")
    expect(signed_in.locator("option:checked")).to_contain_text("1 code expires")
    signed_in.get_by_role("button", name="Pause").click()
    row = signed_in.get_by_role("row").filter(has_text="the gateway is being moved")
    expect(row).to_contain_text("channel sms")
    row.get_by_text("Resume…").click()
    row.get_by_label("Reason").fill("it has moved")
    row.get_by_role("button", name="Resume sms").click()
    expect(signed_in.get_by_text("Nothing is paused.")).to_be_visible()


def test_a_filter_can_be_bookmarked(signed_in: Page, shared_outbox: Outbox) -> None:
    shared_outbox.put(channel="sms", recipient="'+33612345678'", **FAR)
    signed_in.goto("/messages")
    signed_in.get_by_label("Channel").select_option("sms")
    signed_in.get_by_label("Recipient").fill("+33 6 12 34 56 78")
    signed_in.get_by_role("button", name="Filter", exact=True).click()
    expect(signed_in.locator("tbody tr")).to_have_count(1)
    bookmark = signed_in.url
    assert bookmark.partition("?")[2] == "channel=sms&recipient=%2B33+6+12+34+56+78"
    signed_in.goto("/")
    signed_in.goto(bookmark)
    expect(signed_in.locator("tbody tr")).to_have_count(1)
    expect(signed_in.get_by_label("Channel")).to_have_value("sms")


def test_the_keyboard_suffices_from_sign_in_to_requeue(page: Page, token: str, shared_outbox: Outbox) -> None:
    [message_id] = put_dead(shared_outbox, "550 5.2.1 mailbox disabled", recipient="'keys@example.org'")
    page.goto("/messages")
    expect(page.get_by_label("Your operator token")).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Messages")
    tab_to(page, "document.activeElement.className === 'skip'")
    page.keyboard.press("Enter")
    tab_to(page, "document.activeElement.id === 'recipient'")
    page.keyboard.type("keys@example.org")
    page.keyboard.press("Enter")
    page.wait_for_url("**/messages?recipient=*")
    tab_to(page, f"document.activeElement.id === 'view-{message_id}'")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/messages/{message_id}")
    tab_to(page, "document.activeElement.id === 'why'")
    page.keyboard.type("enabled again")
    tab_to(page, "document.activeElement.textContent === 'Requeue'")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Requeue requested")).to_be_visible()
    assert shared_outbox.row(message_id).status != "dead"


def test_auto_refresh_keeps_typed_text_and_focus(signed_in: Page, shared_outbox: Outbox) -> None:
    [message_id] = put_dead(shared_outbox, "450 4.2.1 before", dead_reason="'exhausted'")
    signed_in.goto(f"/messages/{message_id}")
    field = signed_in.locator("#why")
    field.press_sequentially("half a rea")
    shared_outbox.execute("update outbox_messages set attempt = 7 where id = %s", message_id)
    signed_in.wait_for_load_state()  # the page's script is deferred
    signed_in.evaluate("htmx.trigger('#one', 'refresh')")
    field.press_sequentially("son")
    expect(field).to_have_value("half a reason")
    expect(field).to_be_focused()
    expect(signed_in.get_by_text("1 of 8")).to_be_visible()

    field.fill("")
    signed_in.locator("#cause").focus()
    refresh(signed_in, "#one")
    expect(signed_in.get_by_text("7 of 8")).to_be_visible()
    expect(signed_in.locator("#cause")).to_be_focused()


def test_auto_refresh_keeps_details_open(signed_in: Page, shared_outbox: Outbox) -> None:
    signed_in.goto("/")
    signed_in.get_by_text("As a table").click()
    shared_outbox.put(count=3, due_at="now() + interval '2 hours'")
    before = signed_in.locator(".figures").inner_text()
    refresh(signed_in, "#now")
    # A slow count stays cached for some seconds, while the page keeps refreshing itself.
    expect(signed_in.locator(".figures")).not_to_have_text(before, use_inner_text=True, timeout=30_000)
    expect(signed_in.locator("#hours-table table")).to_be_visible()


def test_an_ended_session_redirects_to_the_sign_in_and_back(signed_in: Page, token: str, shared_outbox: Outbox) -> None:
    signed_in.goto("/audit")
    shared_outbox.execute("update console_sessions set used_at = now() - interval '1 day'")
    refresh(signed_in, "#audit")
    expect(signed_in.get_by_label("Your operator token")).to_be_visible()
    signed_in.get_by_label("Your operator token").fill(token)
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_role("heading", level=1)).to_have_text("Audit log")


def test_a_form_of_another_session_changes_nothing(signed_in: Page, shared_outbox: Outbox) -> None:
    [message_id] = put_dead(shared_outbox, "550 5.1.1 forged")
    signed_in.goto(f"/messages/{message_id}")
    signed_in.evaluate("document.querySelectorAll('[name=csrf]').forEach(field => { field.value = 'x'; })")
    signed_in.locator("#why").fill("why not")
    signed_in.get_by_role("button", name="Requeue").click()
    expect(signed_in.get_by_role("heading", level=1)).to_have_text("Form expired")
    assert shared_outbox.row(message_id).status == "dead"


def test_a_failed_auto_refresh_is_shown_until_one_succeeds(signed_in: Page) -> None:
    signed_in.goto("/relays")
    expect(signed_in.locator(".stale")).to_be_hidden()
    signed_in.wait_for_load_state()  # its script is deferred
    signed_in.context.set_offline(True)
    signed_in.evaluate("htmx.trigger('#state', 'refresh')")
    expect(signed_in.locator(".stale")).to_be_visible()
    signed_in.context.set_offline(False)
    refresh(signed_in, "#state")
    expect(signed_in.locator(".stale")).to_be_hidden()


def test_markup_in_data_does_not_run_and_pages_obey_their_policy(signed_in: Page, shared_outbox: Outbox) -> None:
    output: list[str] = []
    signed_in.on("dialog", lambda dialog: (output.append(dialog.message), dialog.dismiss()))
    signed_in.on("console", lambda line: output.append(line.text))
    signed_in.on("pageerror", lambda error: output.append(str(error)))
    quoted = f"'{MARKUP}'"
    [message_id] = put_dead(shared_outbox, MARKUP, recipient=quoted, provider=quoted)
    for path in (*PATHS, f"/messages/{message_id}"):
        signed_in.goto(path)
    refresh(signed_in, "#one")
    expect(signed_in.get_by_text(MARKUP).first).to_be_visible()
    assert output == []


def test_pages_are_readable_on_a_small_phone_without_horizontal_scrolling(
    signed_in: Page, shared_outbox: Outbox
) -> None:
    [message_id] = put_dead(shared_outbox, "550 5.1.1 <a.very.long.name.indeed@a.very.long.host.example.org>: unknown")
    signed_in.set_viewport_size(SMALL_PHONE)
    for mode, path in product(MODES, (*PATHS, f"/messages/{message_id}")):
        signed_in.emulate_media(color_scheme=mode)
        signed_in.goto(path)
        assert signed_in.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
        written = texts_on(signed_in)
        assert len(written) > 10
        assert [one for one in written if not one.is_readable] == [], (path, mode)
    for details in signed_in.locator("main details").all():
        details.evaluate("each => each.open = true")
    heights = [button.bounding_box() for button in signed_in.locator("main button:visible").all()]
    assert heights
    assert all(box and box["height"] >= 44 for box in heights)


def test_on_a_phone_causes_and_providers_come_before_the_charts(signed_in: Page) -> None:
    signed_in.set_viewport_size(SMALL_PHONE)
    signed_in.goto("/")
    boxes = {name: signed_in.locator(f"#{name}").bounding_box() for name in ("causes", "providers", "hours")}
    tops = {name: box["y"] for name, box in boxes.items() if box}
    assert tops["causes"] < tops["providers"] < tops["hours"]


def test_the_filter_is_folded_on_a_phone_only(signed_in: Page) -> None:
    signed_in.goto("/messages")
    expect(signed_in.get_by_label("Channel")).to_be_visible()
    signed_in.set_viewport_size(SMALL_PHONE)
    signed_in.goto("/messages?status=dead")
    expect(signed_in.get_by_label("Channel")).to_be_hidden()
    signed_in.get_by_text("Filter (active)").click()
    expect(signed_in.get_by_label("Channel")).to_be_visible()


def test_on_a_phone_a_message_shows_first_what_happened_and_then_what_to_do(
    signed_in: Page, shared_outbox: Outbox
) -> None:
    [message_id] = put_dead(shared_outbox, "550 5.1.6 moved away")
    signed_in.set_viewport_size(SMALL_PHONE)
    signed_in.goto(f"/messages/{message_id}")
    boxes = [signed_in.locator(f"#{name}").bounding_box() for name in ("timeline", "actions", "facts", "reveal")]
    tops = [box["y"] for box in boxes if box]
    assert tops == sorted(tops)
    assert len(tops) == 4
