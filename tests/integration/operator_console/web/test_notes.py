"""What the page says was done: once, where it was done, as it came out, and at nobody's mere word."""

from typing import Any

from flask.testing import FlaskClient

from operator_console.web.words import DONE
from tests.support.consoles import ConsoleUnderTest, console_on, csrf_in
from tests.support.databases import Database
from tests.support.outbox import Outbox

DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}
RENEWAL = {"HX-Request": "true"}


def sent(browser: FlaskClient, path: str) -> Any:
    return browser.post(path, data={"csrf": csrf_in(browser.get("/messages")), "reason": "a test"})


def bulk_of(outbox: Outbox, status: str) -> str:
    [(bulk_id,)] = outbox.execute(
        "insert into bulk_acts (id, action, operator, reason, wanted, status, found)"
        " values (gen_random_uuid(), 'requeue', 'ada', 'why', '{}', %s, 0) returning id",
        status,
    )
    return f"/bulk/{bulk_id}"


def notes_on(text: str) -> list[str]:
    return [word for word, told in DONE.items() if told in text]


def test_what_was_done_is_said_once_on_its_page_and_not_to_one_that_renews_itself(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(token)
    path = f"/messages/{message_id}"
    answer = sent(browser, f"{path}/requeue")
    assert answer.headers["Location"] == path
    assert notes_on(browser.get(path, headers=RENEWAL).text + browser.get("/messages").text) == []
    assert notes_on(browser.get(path).text) == ["requeued"]
    assert notes_on(browser.get(path).text) == []


def test_no_address_makes_a_page_say_what_was_not_done(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(token)
    for word in ("requeued", "discarded", "signed-out"):
        assert notes_on(browser.get(f"/messages/{message_id}?did={word}").text) == []
        assert notes_on(browser.get(f"/sign-in?did={word}").text) == []


def test_the_notes_cookie_is_for_that_page_and_no_script_and_soon_gone(database: Database, token: str) -> None:
    with console_on(database, CONSOLE_URL="https://console.example") as console:
        browser = console.app.test_client()
        browser.post("/sign-in", data={"token": token}, base_url="https://console.example")
        csrf = csrf_in(browser.get("/messages", base_url="https://console.example"))
        answer = browser.post("/sign-out", data={"csrf": csrf}, base_url="https://console.example")
        [cookie] = [each for each in answer.headers.getlist("Set-Cookie") if "signed-out" in each]
        assert {"Secure", "HttpOnly", "Path=/sign-in", "SameSite=Strict", "Max-Age=60"} <= set(cookie.split("; "))
        door = browser.get("/sign-in", base_url="https://console.example")
        assert notes_on(door.text) == ["signed-out"]


def test_a_bulk_act_that_was_done_before_is_not_said_to_stop_or_go_on(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    browser = console.signed_in(token)
    for status, act, told in [
        ("running", "stop", "stopped"),
        ("stopped", "resume", "running"),
        ("done", "stop", "done"),
        ("done", "resume", "done"),
    ]:
        path = bulk_of(outbox, status)
        sent(browser, f"{path}/{act}")
        assert notes_on(browser.get(path).text) == [told]
