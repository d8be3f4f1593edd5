"""The suppression list over HTTP: in the interface for scripts, and on its page."""

import base64
from collections.abc import Iterator
from html import unescape

import pytest

from operator_console.actions.tokens import Scope
from tests.support.consoles import ConsoleUnderTest, console_on, csrf_in, operators_token
from tests.support.databases import Database
from tests.support.operators import put_dead
from tests.support.outbox import Outbox

ADA = "Ada@Example.org"
REASON = {"reason": "a test"}
KEYS = ",".join(f"{key_id}:{base64.b64encode(octet * 32).decode()}" for key_id, octet in (("new", b"n"), ("old", b"o")))
PATH = "/v1/suppressions"


@pytest.fixture
def console(database: Database) -> Iterator[ConsoleUnderTest]:
    with console_on(database, FEEDBACK_KEYS=KEYS) as console:
        yield console


def reasons(console: ConsoleUnderTest, token: str, **query: str) -> list[str]:
    found = console.ask("GET", PATH, token, query_string=query).json["suppressions"]
    return [entry["reason"] for entry in found]


def test_a_script_adds_looks_up_and_removes(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    added = console.ask("POST", PATH, token, json={"address": ADA, "days": 3, **REASON}).json
    assert (added["reason"], added["key_id"]) == ("operator", "new")
    console.ask("POST", PATH, token, json={"address": "+33 6 12 34 56 78", **REASON})
    outbox.execute("insert into suppressions (hash, reason, key_id, until) select hash, 'bounced', key_id, until"
                   " from suppressions where hash = decode(%s, 'hex')", added["id"])  # fmt: skip
    assert len(reasons(console, token)) == 3
    assert sorted(reasons(console, token, address="ada@example.org")) == ["bounced", "operator"]
    removed = console.ask("POST", f"{PATH}/remove", token, json={"address": ADA, **REASON})
    assert removed.json == {"removed": 2}
    again = console.ask("POST", f"{PATH}/remove", token, json={"address": ADA, **REASON})
    assert (again.status_code, again.json["code"]) == (404, "not_suppressed")
    actions = console.ask("GET", "/v1/audit", token).json["actions"]
    assert [action["action"] for action in actions if action["operator"] == "ada"] == [
        "remove_suppression",
        "add_suppression",
        "add_suppression",
    ]


def test_text_that_is_no_address_is_rejected(console: ConsoleUnderTest, token: str) -> None:
    for response, pointer in (
        (console.ask("GET", PATH, token, query_string={"address": "nobody"}), "address"),
        (console.ask("POST", PATH, token, json={"address": "nobody", **REASON}), "#/address"),
        (console.ask("POST", f"{PATH}/remove", token, json={"address": "06 12 34 56 78", **REASON}), "#/address"),
    ):
        [violation] = response.json["errors"]
        assert (response.status_code, violation["pointer"], violation["code"]) == (422, pointer, "invalid_address")


def test_an_operator_adds_and_removes_on_the_page(console: ConsoleUnderTest, token: str) -> None:
    browser = console.signed_in(token)
    csrf = csrf_in(browser.get("/suppressions"))
    wrong = browser.post("/suppressions", data={"csrf": csrf, "address": "ada@", "days": "7", **REASON})
    assert wrong.status_code == 422
    for kept in ("This is no e-mail address", 'value="ada@"', 'value="a test"', '<option value="7" selected>'):
        assert kept in wrong.text
    browser.post("/suppressions", data={"csrf": csrf, "address": ADA, "days": "7", **REASON})
    assert "an operator added it" in browser.get("/suppressions?address=ada@example.org").text
    assert "The address is not suppressed" in browser.get("/suppressions?address=bob@example.org").text
    [entry] = console.ask("GET", PATH, token).json["suppressions"]
    browser.post(f"/suppressions/{entry['id']}/remove", data={"csrf": csrf, **REASON})
    page = browser.get("/suppressions").text
    assert "The suppression has ended" in page
    assert "No address is suppressed" in page
    gone = browser.post("/suppressions/no-hash/remove", data={"csrf": csrf, **REASON})
    assert gone.status_code == 404


def test_the_page_of_a_suppressed_message_leads_to_the_entries_of_its_recipient(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = put_dead(outbox, dead_reason="'suppressed'", recipient="'ada@example.org'")
    console.ask("POST", PATH, token, json={"address": ADA, **REASON})
    browser = console.signed_in(token)
    address = f"/suppressions?message_id={message_id}"
    assert f'href="{address}"' in browser.get(f"/messages/{message_id}").text
    page = unescape(browser.get(address).text)
    assert "Entries of the" in page
    assert "an operator added it" in page
    assert "ada@example.org" not in page


def test_without_keys_entries_can_be_removed_and_no_address_looked_up(
    console: ConsoleUnderTest, database: Database, token: str
) -> None:
    [entry] = [console.ask("POST", PATH, token, json={"address": ADA, **REASON}).json]
    with console_on(database) as keyless:
        refused = keyless.ask("GET", PATH, token, query_string={"address": ADA})
        assert (refused.status_code, refused.json["code"]) == (409, "no_feedback_keys")
        browser = keyless.signed_in(token)
        page = browser.get("/suppressions")
        assert "set FEEDBACK_KEYS of the console" in page.text
        browser.post(f"/suppressions/{entry['id']}/remove", data={"csrf": csrf_in(page), **REASON})
        assert reasons(keyless, token) == []


def test_who_may_only_read_sees_the_entries_and_no_forms(console: ConsoleUnderTest, token: str) -> None:
    console.ask("POST", PATH, token, json={"address": ADA, **REASON})
    page = console.signed_in(operators_token(console.database, Scope.READ)).get("/suppressions").text
    assert "an operator added it" in page
    assert "Remove" not in page
    assert "Suppress an address" not in page
