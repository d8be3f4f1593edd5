"""Sessions of the pages: sign-in, cookies, expiry and CSRF."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from operator_console.actions.tokens import Scope
from tests.support.consoles import ConsoleUnderTest, console_on, csrf_in, operators_token
from tests.support.databases import Database
from tests.support.outbox import Outbox

DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}


def is_signed_in(browser: FlaskClient, **headers: str) -> bool:
    return browser.get("/", headers=headers).status_code == 200


def test_sign_in_redirects_to_the_requested_page(console: ConsoleUnderTest, token: str) -> None:
    browser = console.app.test_client()
    wanted = "/messages?status=dead&channel=sms"
    door = browser.get(wanted, follow_redirects=True)
    assert 'value="/messages?status=dead&amp;channel=sms"' in door.text
    response = browser.post("/sign-in", data={"token": f" {token}\n", "next": wanted})
    assert (response.status_code, response.headers["Location"]) == (303, wanted)
    assert is_signed_in(browser)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\n/evil", ""])
def test_sign_in_redirects_to_no_other_site(console: ConsoleUnderTest, token: str, elsewhere: str) -> None:
    response = console.app.test_client().post("/sign-in", data={"token": token, "next": elsewhere})
    assert response.headers["Location"] == "/"


def test_the_cookie_is_limited_to_this_site_and_hidden_from_scripts(console: ConsoleUnderTest, token: str) -> None:
    cookie = console.app.test_client().post("/sign-in", data={"token": token}).headers["Set-Cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))
    assert token not in cookie


def test_with_https_the_cookie_is_secure(database: Database, token: str) -> None:
    with console_on(database, CONSOLE_URL="https://console.example") as console:
        response = console.app.test_client().post("/sign-in", data={"token": token})
        assert response.headers["Set-Cookie"].startswith("__Host-console=")
        assert "Secure" in response.headers["Set-Cookie"].split("; ")
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_the_database_does_not_contain_the_cookie(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    cookie = console.app.test_client().post("/sign-in", data={"token": token}).headers["Set-Cookie"]
    [(row,)] = outbox.execute("select to_jsonb(console_sessions)::text from console_sessions")
    assert cookie.partition("=")[2].partition(";")[0] not in row


@pytest.mark.parametrize("column", ["used_at", "started_at"])
def test_an_idle_or_old_session_ends_and_is_deleted(
    console: ConsoleUnderTest, outbox: Outbox, token: str, column: str
) -> None:
    browser = console.signed_in(token)
    lifetime = "30 minutes" if column == "used_at" else "12 hours"
    outbox.execute(f"update console_sessions set {column} = now() - interval '{lifetime}' + interval '1 minute'")
    assert is_signed_in(browser)
    outbox.execute(f"update console_sessions set {column} = now() - interval '{lifetime}' - interval '1 second'")
    assert not is_signed_in(browser)
    console.signed_in(token)
    assert outbox.number("select count(*) from console_sessions") == 1


def test_page_views_extend_a_session_and_auto_refresh_does_not(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    browser = console.signed_in(token)
    outbox.execute("update console_sessions set used_at = now() - interval '20 minutes'")
    assert is_signed_in(browser, **{"HX-Request": "true"})
    assert outbox.number("select count(*) from console_sessions where used_at < now() - interval '19 minutes'") == 1
    assert is_signed_in(browser)
    assert outbox.number("select count(*) from console_sessions where used_at < now() - interval '19 minutes'") == 0


def test_auto_refresh_after_the_sessions_end_redirects_to_the_sign_in(console: ConsoleUnderTest) -> None:
    response = console.app.test_client().get("/messages?status=dead", headers={"HX-Request": "true"})
    assert (response.status_code, response.headers["HX-Redirect"]) == (401, "/sign-in?next=%2Fmessages%3Fstatus%3Ddead")


@pytest.mark.parametrize("end", ["revoked_at = now()", "expires_at = now()"])
def test_a_session_ends_with_its_token(console: ConsoleUnderTest, outbox: Outbox, token: str, end: str) -> None:
    browser = console.signed_in(token)
    outbox.execute(f"update operator_tokens set {end}")
    assert not is_signed_in(browser)


def test_an_operator_without_read_can_sign_out(console: ConsoleUnderTest, database: Database) -> None:
    browser = console.signed_in(operators_token(database, Scope.ACT))
    csrf = csrf_in(browser.get("/bulk/new?provider=pp"))
    assert browser.post("/sign-out", data={"csrf": csrf}).status_code == 303
    assert browser.get("/bulk/new?provider=pp").headers["Location"].startswith("/sign-in")


def test_signing_out_ends_the_session_for_copies_of_the_cookie(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    browser = console.signed_in(token)
    response = browser.post("/sign-out", data={"csrf": csrf_in(browser.get("/"))})
    assert response.status_code == 303
    assert outbox.number("select count(*) from console_sessions") == 0
    assert not is_signed_in(browser)


def test_a_form_without_its_sessions_csrf_token_changes_nothing(
    console: ConsoleUnderTest, database: Database, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(**DEAD)
    others = csrf_in(console.signed_in(operators_token(database, name="grace")).get("/"))
    browser = console.signed_in(token)
    for csrf in ("", "guess", others):
        response = browser.post(f"/messages/{message_id}/requeue", data={"reason": "why", "csrf": csrf})
        assert response.status_code == 403
        assert "Form expired" in response.text
    assert outbox.row(message_id).status == "dead"
    own = csrf_in(browser.get(f"/messages/{message_id}"))
    assert browser.post(f"/messages/{message_id}/requeue", data={"reason": "why", "csrf": own}).status_code == 303
    assert outbox.row(message_id).status == "pending"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:8001"},
    ],
)
def test_sign_in_forms_of_other_sites_are_rejected(
    console: ConsoleUnderTest, token: str, headers: dict[str, str]
) -> None:
    assert console.app.test_client().post("/sign-in", data={"token": token}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": "http://localhost"}]
)
def test_sign_in_forms_of_this_site_are_accepted(
    console: ConsoleUnderTest, token: str, headers: dict[str, str]
) -> None:
    assert console.app.test_client().post("/sign-in", data={"token": token}, headers=headers).status_code == 303


def test_a_link_from_another_site_needs_no_second_sign_in(console: ConsoleUnderTest) -> None:
    response = console.app.test_client().get("/messages?status=dead", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in response.text


def test_the_cookie_does_not_authenticate_scripts(console: ConsoleUnderTest, token: str) -> None:
    assert console.signed_in(token).get("/v1/stats").status_code == 401


def test_the_session_policy_is_configurable(database: Database, outbox: Outbox, token: str) -> None:
    with console_on(database, CONSOLE_SESSION_IDLE_MINUTES="5") as console:
        browser = console.signed_in(token)
        outbox.execute("update console_sessions set used_at = now() - %s", timedelta(minutes=6))
        assert not is_signed_in(browser)
