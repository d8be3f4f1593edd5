"""The page of one message, and what the audit log shows about it."""

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
