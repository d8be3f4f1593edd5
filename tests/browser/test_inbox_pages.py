"""The inbox's pages in a real browser: messages received, and their links."""

import smtplib
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.inbox import Inbox, running_inbox

SMALL_PHONE = {"width": 320, "height": 568}
DESKTOP = {"width": 1280, "height": 800}
GOLDEN_MAIL = Path(__file__).parents[1] / "unit/outbox_relay/rendering/golden/activation.en.html"
LONG_ADDRESS = "ada.augusta.king.countess.of.lovelace@analytical-engines.example.org"


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    with running_inbox(tmp_path_factory.mktemp("inbox")) as inbox:
        yield inbox


@pytest.fixture(params=[DESKTOP, SMALL_PHONE], ids=["desktop", "phone"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    with browser.new_context(viewport=request.param, locale="en-GB") as context:
        yield context.new_page()


def send(inbox: Inbox, recipient: str, *, text: str = "Your code is 204816.\n", html: str | None = None) -> str:
    """Send a mail and return the path of its page."""
    mail = EmailMessage(policy.SMTP)
    mail["Subject"] = "204816 is your Signpost code"
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=5) as client:
        client.sendmail("no-reply@signpost.example", recipient, mail.as_bytes())
    return f"/messages/{inbox.messages_for(recipient)[0].id}"


def test_pressing_a_mails_button_opens_a_page_at_its_link(page: Page, inbox: Inbox) -> None:
    link = f"{inbox.http_url}/messages.json"
    path = send(inbox, "bob@example.org", html=f'<html><head></head><body><a href="{link}">Confirm</a></body></html>')
    page.goto(inbox.http_url + path)
    with page.context.expect_page() as opened:
        page.frame_locator("iframe").get_by_role("link", name="Confirm").click()
    opened.value.wait_for_load_state()
    assert opened.value.url == link
    assert opened.value.evaluate("window.opener") is None


def test_a_mail_is_shown_completely_without_nested_scrolling(page: Page, inbox: Inbox) -> None:
    page.goto(inbox.http_url + send(inbox, "bob@example.org", html=GOLDEN_MAIL.read_text()))
    frame = page.frames[1]
    # Wait, because the frame's process may resize it after the page has loaded.
    frame.wait_for_function("document.documentElement.scrollHeight <= window.innerHeight")
    assert frame.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_times_align_with_and_without_a_code(page: Page, inbox: Inbox) -> None:
    send(inbox, "bob@example.org")
    send(inbox, "bob@example.org", text="You have an account already.\n")
    page.goto(inbox.http_url)
    ends = page.locator(".arrivals time").evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
    assert len(ends) > 1
    assert len(set(ends)) == 1


def test_an_address_is_never_truncated(page: Page, inbox: Inbox) -> None:
    send(inbox, LONG_ADDRESS)
    page.goto(inbox.http_url)
    shown = page.get_by_text(LONG_ADDRESS).first
    assert shown.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
