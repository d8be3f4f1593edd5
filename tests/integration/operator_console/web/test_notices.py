"""Notices about a form's result, and the way back after the sign-in."""

from typing import Any
from urllib.parse import quote_plus

import pytest
from flask.testing import FlaskClient

from operator_console.web.labels import NOTICES
from shared.web.requests import MOST_BYTES_READ
from tests.support.consoles import ConsoleUnderTest, console_on, csrf_in
from tests.support.databases import Database
from tests.support.outbox import Outbox

DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}
UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"
AUTO_REFRESH = {"HX-Request": "true"}


def sent(browser: FlaskClient, path: str) -> Any:
    return browser.post(path, data={"csrf": csrf_in(browser.get("/messages")), "reason": "a test"})


def bulk_of(outbox: Outbox, status: str) -> str:
    [(bulk_id,)] = outbox.execute(
        "insert into bulk_actions (id, action, operator, reason, wanted, status, found)"
        " values (gen_random_uuid(), 'requeue', 'ada', 'why', '{}', %s, 0) returning id",
        status,
    )
    return f"/bulk/{bulk_id}"


def test_a_form_without_a_session_changes_nothing_says_so_and_leads_back(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(**DEAD)
    path = f"/messages/{message_id}"
    browser = console.signed_in(token)
    csrf = csrf_in(browser.get(path))
    outbox.execute("delete from console_sessions")
    response = browser.post(f"{path}/discard", data={"csrf": csrf, "reason": "a slip"})
    door = browser.get(response.headers["Location"])
    assert notices_on(door.text) == ["session-ended"]
    assert f'value="{path}"' in door.text
    assert browser.post("/sign-in", data={"token": token, "next": path}).headers["Location"] == path
    assert outbox.row(message_id).dead_reason == "rejected"
    assert notices_on(browser.get(path).text + browser.get("/sign-in").text) == []


@pytest.mark.parametrize(
    ("path", "stood_on"),
    [
        (f"/messages/{UNKNOWN_ID}/reveal", f"/messages/{UNKNOWN_ID}"),
        (f"/bulk/{UNKNOWN_ID}/stop", f"/bulk/{UNKNOWN_ID}"),
        (f"/organizations/{UNKNOWN_ID}/repair", f"/organizations/{UNKNOWN_ID}"),
        (f"/tokens/{UNKNOWN_ID}/revoke", "/tokens"),
        ("/bulk/new", "/bulk/new?cause=abc&provider=smtp%3Ax"),
    ],
)
def test_each_form_leads_back_to_its_page(console: ConsoleUnderTest, path: str, stood_on: str) -> None:
    form = {"cause": "abc", "provider": "smtp:x", "status": "", "reason": "why", "csrf": "x", "action": "discard"}
    response = console.app.test_client().post(path, data=form)
    assert response.headers["Location"] == f"/sign-in?next={quote_plus(stood_on)}"


def test_a_next_address_that_is_too_long_loses_its_query(console: ConsoleUnderTest) -> None:
    response = console.app.test_client().get(f"/messages?provider={'é' * 200}&cause={'x' * 900}")
    assert response.headers["Location"] == "/sign-in?next=%2Fmessages"


def test_signing_out_after_the_sessions_end_succeeds(console: ConsoleUnderTest) -> None:
    browser = console.app.test_client()
    assert notices_on(browser.get(browser.post("/sign-out").headers["Location"]).text) == ["signed-out"]


def test_a_form_that_is_too_large_is_rejected_without_a_session_too(console: ConsoleUnderTest) -> None:
    response = console.app.test_client().post("/bulk/new", data={"provider": "x" * MOST_BYTES_READ})
    assert response.status_code == 413


def notices_on(text: str) -> list[str]:
    return [key for key, notice in NOTICES.items() if notice in text]


def test_a_notice_appears_once_on_its_page_and_not_in_an_auto_refresh(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(token)
    path = f"/messages/{message_id}"
    response = sent(browser, f"{path}/requeue")
    assert response.headers["Location"] == path
    assert notices_on(browser.get(path, headers=AUTO_REFRESH).text + browser.get("/messages").text) == []
    assert notices_on(browser.get(path).text) == ["requeued"]
    assert notices_on(browser.get(path).text) == []


def test_no_query_makes_a_page_show_a_notice(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(token)
    for word in ("requeued", "discarded", "signed-out"):
        assert notices_on(browser.get(f"/messages/{message_id}?did={word}").text) == []
        assert notices_on(browser.get(f"/sign-in?did={word}").text) == []


def test_the_notices_cookie_is_limited_to_its_page_and_a_minute(database: Database, token: str) -> None:
    with console_on(database, CONSOLE_URL="https://console.example") as console:
        browser = console.app.test_client()
        browser.post("/sign-in", data={"token": token}, base_url="https://console.example")
        csrf = csrf_in(browser.get("/messages", base_url="https://console.example"))
        response = browser.post("/sign-out", data={"csrf": csrf}, base_url="https://console.example")
        [cookie] = [each for each in response.headers.getlist("Set-Cookie") if "signed-out" in each]
        assert {"Secure", "HttpOnly", "Path=/sign-in", "SameSite=Strict", "Max-Age=60"} <= set(cookie.split("; "))
        door = browser.get("/sign-in", base_url="https://console.example")
        assert notices_on(door.text) == ["signed-out"]


def test_stopping_or_resuming_a_finished_bulk_action_reports_no_change(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    browser = console.signed_in(token)
    for status, action, notice in [
        ("running", "stop", "stopped"),
        ("stopped", "resume", "running"),
        ("done", "stop", "done"),
        ("done", "resume", "done"),
    ]:
        path = bulk_of(outbox, status)
        sent(browser, f"{path}/{action}")
        assert notices_on(browser.get(path).text) == [notice]
