"""The pages' lists: filters, times, further pages, and bulk actions."""

import re
from html import unescape

import pytest

from operator_console.queries import messages
from tests.support.consoles import ConsoleUnderTest
from tests.support.outbox import Outbox

DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}
BEYOND = ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00")


@pytest.mark.parametrize("moment", BEYOND)
@pytest.mark.parametrize("field", ["created_after", "created_before"])
def test_times_beyond_the_years_of_utc_are_rejected(
    console: ConsoleUnderTest, token: str, field: str, moment: str
) -> None:
    browser = console.signed_in(token)
    for path in ("/messages", "/bulk/new"):
        response = browser.get(path, query_string={field: moment})
        assert (response.status_code, f"<code>{field}</code>" in response.text) == (422, True)
    listed = console.ask("GET", "/v1/messages", token, query_string={field: moment})
    started = console.ask("POST", "/v1/discards", token, json={"reason": "why", "filter": {field: moment}})
    violations = [listed.json["errors"][0], started.json["errors"][0]]
    assert [violation["code"] for violation in violations] == ["invalid_time"] * 2
    assert [violation["pointer"] for violation in violations] == [field, f"#/filter/{field}"]


def test_the_first_and_last_time_of_utc_are_accepted(console: ConsoleUnderTest, token: str) -> None:
    asked = {"created_after": "0001-01-01T00:00:00Z", "created_before": "9999-12-31T23:59:59Z"}
    assert console.signed_in(token).get("/messages", query_string=asked).status_code == 200


def test_causes_of_another_year_show_the_year(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(**(DEAD | {"settled_at": "'2021-03-04 05:06:07+00'"}))
    outbox.put(**DEAD)
    page = console.signed_in(token).get("/messages/causes").text
    assert "4 Mar 2021 05:06:07" in page
    assert page.count("2021 ") == 1


@pytest.mark.parametrize("reason", ["superseded", "discarded"])
def test_bulk_actions_are_offered_only_for_messages_they_take(
    console: ConsoleUnderTest, outbox: Outbox, token: str, reason: str
) -> None:
    outbox.put(**(DEAD | {"dead_reason": f"'{reason}'"}))
    outbox.put(**DEAD)
    browser = console.signed_in(token)
    listed = console.ask("GET", "/v1/messages", token).json["messages"]
    cause = {one["dead_reason"]: one["cause"] for one in listed}
    page = browser.get("/messages/causes").text
    offered = [of for of in (reason, "rejected") if f"/bulk/new?cause={cause[of]}" in page]
    offered += [of for of in (reason, "rejected") if "/bulk/new?" in browser.get(f"/messages?cause={cause[of]}").text]
    assert offered == ["rejected", "rejected"]
    assert "/bulk/new?" in browser.get("/messages?status=dead").text
    # A filter that names discarded messages includes them; superseded messages are always excluded.
    of_reason = browser.get(f"/messages?dead_reason={reason}").text
    assert ("/bulk/new?" in of_reason) is (reason == "discarded")


def test_all_pages_of_a_list_have_the_same_length(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.execute("insert into operator_actions (operator, action, reason, before)"
                   " select 'ada', 'reveal', 'why', '{}' from generate_series(1, 9)")  # fmt: skip
    outbox.execute("insert into organizations (id, name, status, founder_id, database_name, ready_at, health)"
                   " select id, 'Clinic', 'ready', id, 'org_' || replace(id::text, '-', ''), now(), 'lost'"
                   " from (select gen_random_uuid() as id from generate_series(1, 9)) as nine")  # fmt: skip
    browser = console.signed_in(token)
    for path in ("/audit?limit=2", "/organizations?health=lost&limit=2"):
        first = browser.get(path).text
        [older] = [link for link in links_on(first) if "cursor=" in link]
        second = browser.get(older).text
        assert second.count("<tr>") == first.count("<tr>") == 3
        assert path in links_on(second)


def test_a_request_searches_further_than_one_statement_scans(
    console: ConsoleUnderTest, outbox: Outbox, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "SEARCH_SECONDS", 60)  # a busy machine needs more than the default
    monkeypatch.setattr(messages, "MAX_ROWS_SCANNED", 2)
    [oldest] = outbox.put(recipient="'grace@example.org'")
    outbox.put(count=9)
    asked = {"recipient": "grace@example.org"}
    assert f'id="view-{oldest}"' in console.signed_in(token).get("/messages", query_string=asked).text
    [found] = console.ask("GET", "/v1/messages", token, query_string=asked).json["messages"]
    assert found["id"] == str(oldest)


def links_on(text: str) -> list[str]:
    return [unescape(link) for link in re.findall(r'href="([^"]+)"', text)]


def test_the_last_use_of_a_token_is_shown_as_approximate(console: ConsoleUnderTest, token: str) -> None:
    page = console.signed_in(token).get("/tokens").text
    assert '<td data-label="Last used"><span><span class="quiet">about</span> <time' in page
