"""The page of one message, and what the audit log shows about it."""

import pytest

from tests.support.consoles import ConsoleUnderTest, csrf_in
from tests.support.operators import put_dead
from tests.support.outbox import Outbox


def test_a_corrected_recipient_is_recognizable_although_both_addresses_mask_alike(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id], [other] = put_dead(outbox, recipient="'ada@example.org'"), put_dead(outbox)
    browser = console.signed_in(token)
    form = {"csrf": csrf_in(browser.get(f"/messages/{message_id}")), "reason": "a typo"}
    browser.post(f"/messages/{message_id}/requeue", data=form | {"recipient": "adam@example.org"})
    browser.post(f"/messages/{other}/requeue", data=form | {"recipient": "", "locale": "fr"})
    name = "Corrected the recipient and requeued"
    assert name in browser.get(f"/messages/{message_id}").text
    assert name not in browser.get(f"/messages/{other}").text
    audit = browser.get("/audit").text
    assert audit.count(name) == 1
    assert audit.count("recipient a…@example.org (changed)") == 1


@pytest.mark.parametrize(
    ("provider", "status", "up", "waits"),
    [
        ("'smtp:down:25'", "pending", 1, True),
        ("'smtp:up:25'", "pending", 1, False),
        ("null", "pending", 1, False),
        ("null", "pending", 0, True),
        ("'smtp:down:25'", "sent", 0, False),
    ],
)
def test_a_pending_message_shows_which_provider_it_waits_for(
    console: ConsoleUnderTest, outbox: Outbox, token: str, *, provider: str, status: str, up: int, waits: bool
) -> None:
    settled_at = "now()" if status == "sent" else "null"
    [message_id] = outbox.put(provider=provider, status=f"'{status}'", settled_at=settled_at)
    outbox.execute(
        "insert into providers (name, consecutive_opens, open_until)"
        " values ('smtp:down:25', 1, now() + interval '1 minute')"
    )
    outbox.execute("insert into providers (name) select 'smtp:up:25' from generate_series(1, %s)", up)
    page = console.signed_in(token).get(f"/messages/{message_id}").text
    assert ("Waits: <code>smtp:down:25</code> has been down since" in page, "next try at" in page) == (waits, waits)
