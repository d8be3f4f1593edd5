"""What every page is sent with, and that nothing from outside becomes a part of one."""

import pytest

from operator_console.actions.tokens import Scope
from tests.support.consoles import ConsoleUnderTest, csrf_in, operators_token
from tests.support.outbox import Outbox

MARKUP = "<script>alert(1)</script>\"'<img src=x onerror=alert(2)>"
DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}
PAGES = ("/", "/messages", "/messages/causes", "/bulk", "/relays", "/audit", "/tokens", "/sign-in", "/nowhere")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_only_our_scripts_is_framed_by_nobody_and_kept_nowhere(
    console: ConsoleUnderTest, token: str, path: str
) -> None:
    answer = console.signed_in(token).get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'", "'none'")
    assert (policy["script-src"], policy["style-src"], policy["form-action"]) == ("'self'", "'self'", "'self'")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script>" not in answer.text
    assert "style=" not in answer.text


def test_markup_in_what_others_wrote_is_shown_as_text(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    quoted = "'" + MARKUP.replace("'", "''") + "'"
    [message_id] = outbox.put(**DEAD, recipient=quoted, last_error=quoted, provider=quoted, provider_message_id=quoted)
    outbox.execute(
        "insert into delivery_attempts (message_id, attempt, outcome, provider, error_class, error)"
        f" values ('{message_id}', 1, {quoted}, {quoted}, {quoted}, {quoted})"
    )
    outbox.execute(f"insert into providers (name, rate, last_failure_class) values ({quoted}, {quoted}, {quoted})")
    browser = console.signed_in(token)
    csrf = csrf_in(browser.get("/"))
    browser.post(f"/messages/{message_id}/discard", data={"csrf": csrf, "reason": MARKUP})
    browser.post(f"/messages/{message_id}/undo-discard", data={"csrf": csrf, "reason": MARKUP})
    bulk = console.ask(
        "POST", "/v1/requeues", token, json={"filter": {"provider": MARKUP}, "reason": MARKUP, "per_minute": 1}
    )
    shown = [
        browser.get(path).text
        for path in (
            *PAGES,
            f"/messages/{message_id}",
            bulk.headers["Location"].replace("/v1/bulk-actions", "/bulk"),
            "/messages?provider=%3Cscript%3Ealert(1)%3C/script%3E",
            "/messages?status=%3Cscript%3E",
            "/bulk/new?provider=%3Cscript%3Ealert(1)%3C/script%3E",
            "/sign-in?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
            "/?did=%3Cscript%3E",
        )
    ]
    revealed = browser.post(f"/messages/{message_id}/reveal", data={"csrf": csrf, "reason": "why"}).text
    assert "&lt;script&gt;" in revealed
    assert [text for text in [*shown, revealed] if "<script>" in text or "<img" in text] == []


def test_a_filter_is_an_address_that_says_what_was_asked_and_no_more(console: ConsoleUnderTest, token: str) -> None:
    browser = console.signed_in(token)
    answer = browser.get("/messages?status=dead&dead_reason=&channel=&recipient=&created_after=2026-11-21T03:00")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/messages?status=dead&created_after=2026-11-21T03%3A00",
    )
    assert 'value="2026-11-21T03:00:00"' in browser.get(answer.headers["Location"]).text
    assert 'value="2026-11-20T22:00:59"' in browser.get("/messages?created_after=2026-11-21T03:00:59%2B05:00").text


def test_organizations_are_asked_for_and_counted_as_what_waits(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(channel="provision", template="'organization'")
    browser = console.signed_in(token)
    listed = browser.get("/messages?channel=provision&template=organization").text
    assert "<option selected>provision</option>" in listed
    assert "<option selected>organization</option>" in listed
    assert str(message_id) in listed
    assert "Organizations 1" in browser.get("/").text


def test_whoever_may_only_read_sees_no_button_that_would_be_refused(console: ConsoleUnderTest, outbox: Outbox) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(operators_token(console.database, Scope.READ))
    page = browser.get(f"/messages/{message_id}").text
    assert ("Requeue" in page, "Reveal" in page, "Discard" in page) == (False, False, False)
    assert "Requeue" not in browser.get("/").text


def test_a_message_that_is_gone_is_told_on_a_page(console: ConsoleUnderTest, token: str) -> None:
    answer = console.signed_in(token).get("/messages/00000000-0000-0000-0000-000000000000")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "Unknown message" in answer.text


def test_a_reason_is_asked_for_again_where_none_was_given(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(token)
    answer = browser.post(f"/messages/{message_id}/requeue", data={"csrf": csrf_in(browser.get("/")), "reason": " "})
    assert answer.status_code == 422
    assert outbox.row(message_id).status == "dead"


def test_the_chart_says_in_a_table_what_it_shows(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.execute(
        "insert into settled_by_hour values (date_trunc('hour', now(), 'UTC'), 'email', 'sent', 1234),"
        " (date_trunc('hour', now(), 'UTC'), 'sms', 'sent', 6), (date_trunc('hour', now(), 'UTC'), 'sms', 'dead', 7)"
    )
    page = console.signed_in(token).get("/").text
    assert '<td class="number">1\N{NARROW NO-BREAK SPACE}240</td><td class="number">7</td>' in page


def test_a_database_that_is_away_is_told_on_a_page_and_to_scripts(console: ConsoleUnderTest, token: str) -> None:
    browser = console.signed_in(token)
    with console.database.connect() as owner:
        owner.execute("alter role console connection limit 0")
        owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'console'")
        page, script = browser.get("/"), console.ask("GET", "/v1/stats", token)
        owner.execute("alter role console connection limit -1")
    assert (page.status_code, script.status_code) == (503, 503)
    assert "Database unavailable" in page.text
    assert script.json["code"] == "database_unavailable"
    assert "Retry-After" in script.headers


def test_an_address_and_a_language_are_corrected_on_the_page(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(token)
    form = {"csrf": csrf_in(browser.get(f"/messages/{message_id}")), "reason": "a slip"}
    address = f"/messages/{message_id}/requeue"
    assert browser.post(address, data=form | {"recipient": "+33612345678", "locale": ""}).status_code == 422
    assert outbox.row(message_id).status == "dead"
    assert browser.post(address, data=form | {"recipient": " ops@example.net ", "locale": "fr"}).status_code == 303
    row = outbox.row(message_id)
    assert (row.status, row.recipient, row.locale) == ("pending", "ops@example.net", "fr")
