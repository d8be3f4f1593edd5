"""What the page says was done: once, where it was done, as it came out, and at nobody's mere word."""

from typing import Any
from urllib.parse import quote_plus

import pytest
from flask.testing import FlaskClient

from operator_console.web.labels import NOTICES
from shared.web.bodies import MOST_BYTES_READ
from tests.support.consoles import ConsoleUnderTest, console_on, csrf_in
from tests.support.databases import Database
from tests.support.outbox import Outbox

DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}
NOBODYS = "00000000-0000-0000-0000-000000000000"
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


def test_a_form_without_a_session_is_said_to_have_done_nothing_and_leads_back_to_where_it_stood(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(**DEAD)
    path = f"/messages/{message_id}"
    browser = console.signed_in(token)
    csrf = csrf_in(browser.get(path))
    outbox.execute("delete from console_sessions")
    answer = browser.post(f"{path}/discard", data={"csrf": csrf, "reason": "a slip"})
    door = browser.get(answer.headers["Location"])
    assert notes_on(door.text) == ["session-ended"]
    assert f'value="{path}"' in door.text
    assert browser.post("/sign-in", data={"token": token, "next": path}).headers["Location"] == path
    assert outbox.row(message_id).dead_reason == "rejected"
    assert notes_on(browser.get(path).text + browser.get("/sign-in").text) == []


@pytest.mark.parametrize(
    ("path", "stood_on"),
    [
        (f"/messages/{NOBODYS}/reveal", f"/messages/{NOBODYS}"),
        (f"/bulk/{NOBODYS}/stop", f"/bulk/{NOBODYS}"),
        (f"/organizations/{NOBODYS}/repair", f"/organizations/{NOBODYS}"),
        (f"/tokens/{NOBODYS}/revoke", "/tokens"),
        ("/bulk/new", "/bulk/new?cause=abc&provider=smtp%3Ax"),
    ],
)
def test_each_form_leads_back_to_its_page(console: ConsoleUnderTest, path: str, stood_on: str) -> None:
    form = {"cause": "abc", "provider": "smtp:x", "status": "", "reason": "why", "csrf": "x", "action": "discard"}
    answer = console.app.test_client().post(path, data=form)
    assert answer.headers["Location"] == f"/sign-in?next={quote_plus(stood_on)}"


def test_a_way_back_that_no_address_could_hold_leads_to_the_page_alone(console: ConsoleUnderTest) -> None:
    answer = console.app.test_client().get(f"/messages?provider={'é' * 200}&cause={'x' * 900}")
    assert answer.headers["Location"] == "/sign-in?next=%2Fmessages"


def test_whoever_signs_out_after_the_session_is_signed_out(console: ConsoleUnderTest) -> None:
    browser = console.app.test_client()
    assert notes_on(browser.get(browser.post("/sign-out").headers["Location"]).text) == ["signed-out"]


def test_a_form_that_is_too_large_is_refused_without_a_session_too(console: ConsoleUnderTest) -> None:
    answer = console.app.test_client().post("/bulk/new", data={"provider": "x" * MOST_BYTES_READ})
    assert answer.status_code == 413


def notes_on(text: str) -> list[str]:
    return [word for word, told in NOTICES.items() if told in text]


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
