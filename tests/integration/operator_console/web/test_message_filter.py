"""The page that lists messages: its filter, and the bulk action that it offers."""

import pytest

from tests.support.consoles import ConsoleUnderTest
from tests.support.operators import put_dead
from tests.support.outbox import Outbox

BULK = "Requeue or discard all that match"


def test_a_bulk_action_is_offered_only_if_it_could_take_a_message(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    browser = console.signed_in(token)
    put_dead(outbox, dead_reason="'superseded'")
    put_dead(outbox, dead_reason="'discarded'")
    assert BULK not in browser.get("/messages?status=dead").text
    assert BULK in browser.get("/messages?status=dead&limit=1").text  # the next page may have one
    assert BULK in browser.get("/messages?dead_reason=discarded").text
    put_dead(outbox)
    assert BULK in browser.get("/messages?status=dead").text


def test_the_filter_names_and_explains_each_dead_reason(console: ConsoleUnderTest, token: str) -> None:
    page = console.signed_in(token).get("/messages?dead_reason=rejected").text
    assert '<option value="rejected" selected>rejected: refused permanently</option>' in page


def test_the_list_of_a_cause_shows_its_reason_provider_and_reply(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    put_dead(outbox, provider="'smtp:mx:25'", last_error="'550 5.1.1 <ada@example.org>: no such user'")
    browser = console.signed_in(token)
    [cause] = console.ask("GET", "/v1/messages/groups", token).json["causes"]
    described = '<p class="mono field">550 5.1.1 … no such user</p>'
    pages = [
        browser.get(path).text for path in (f"/messages?cause={cause['cause']}", f"/bulk/new?cause={cause['cause']}")
    ]
    assert [described in page for page in pages] == [True, True]
    assert described not in browser.get("/messages?status=dead").text


@pytest.mark.parametrize(("recipient", "is_partial"), [("ada", True), ("ada@example.org", False), ("%2B33612", False)])
def test_an_unknown_recipient_gets_a_hint_that_applies(
    console: ConsoleUnderTest, token: str, recipient: str, *, is_partial: bool
) -> None:
    page = console.signed_in(token).get(f"/messages?recipient={recipient}").text
    assert ("The recipient needs the whole address." in page) is is_partial
    assert "A message with a corrected recipient is found by its new address only." in page


def test_a_provider_is_selected_and_a_causes_id_is_on_its_messages(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.execute("insert into providers (name, seen_at) values ('smtp:old:25', now() - interval '1 year')")
    [message_id] = put_dead(outbox, provider="'smtp:old:25'")
    browser = console.signed_in(token)
    page = browser.get("/messages?provider=smtp:unknown:25").text
    assert '<option value="smtp:old:25">smtp:old:25</option>' in page
    assert '<option value="smtp:unknown:25" selected>smtp:unknown:25</option>' in page
    [cause] = console.ask("GET", "/v1/messages/groups", token).json["causes"]
    assert f"<code>{cause['cause']}</code>" in browser.get(f"/messages/{message_id}").text
