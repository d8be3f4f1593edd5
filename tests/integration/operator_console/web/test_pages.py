"""Pages: headers, escaping, filters and forms."""

import re
from html import unescape

import pytest

from operator_console.actions.tokens import Scope
from tests.support.consoles import ConsoleUnderTest, csrf_in, operators_token
from tests.support.outbox import Outbox

MARKUP = "<script>alert(1)</script>\"'<img src=x onerror=alert(2)>"
DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}
PAGES = ("/", "/messages", "/messages/causes", "/bulk", "/relays", "/audit", "/tokens", "/sign-in", "/nowhere")


@pytest.mark.parametrize("path", PAGES)
def test_pages_run_only_our_scripts_and_are_neither_framed_nor_cached(
    console: ConsoleUnderTest, token: str, path: str
) -> None:
    response = console.signed_in(token).get(path)
    policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'", "'none'")
    assert (policy["script-src"], policy["style-src"], policy["form-action"]) == ("'self'", "'self'", "'self'")
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script>" not in response.text
    assert "style=" not in response.text


def test_markup_in_data_is_shown_as_text(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    quoted = "'" + MARKUP.replace("'", "''") + "'"
    [message_id] = outbox.put(**DEAD, recipient=quoted, last_error=quoted, provider=quoted, provider_message_id=quoted)
    outbox.execute(
        "insert into delivery_attempts (message_id, attempt, outcome, provider, error_class, error)"
        f" values ('{message_id}', 1, {quoted}, {quoted}, {quoted}, {quoted})"
    )
    outbox.execute(
        "insert into providers (name, rate, last_failure_class, last_error)"
        f" values ({quoted}, {quoted}, {quoted}, {quoted})"
    )
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


def test_a_filter_shows_its_choices_and_its_address_has_only_the_fields_that_are_set(
    console: ConsoleUnderTest, token: str
) -> None:
    browser = console.signed_in(token)
    response = browser.get("/messages?status=dead&dead_reason=&channel=&recipient=&created_after=2026-11-21T03:00")
    assert (response.status_code, response.headers["Location"]) == (
        303,
        "/messages?status=dead&created_after=2026-11-21T03%3A00",
    )
    assert '<option value="welcome">welcome</option>' in browser.get("/messages").text
    assert '<option value="welcome" selected>welcome</option>' in browser.get("/messages?template=welcome").text
    assert 'value="2026-11-21T03:00:00"' in browser.get(response.headers["Location"]).text
    assert 'value="2026-11-20T22:00:59"' in browser.get("/messages?created_after=2026-11-21T03:00:59%2B05:00").text


def test_provisioning_messages_can_be_filtered_and_are_part_of_the_backlog(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    [message_id] = outbox.put(channel="provision", template="'organization'")
    browser = console.signed_in(token)
    listed = browser.get("/messages?channel=provision&template=organization").text
    assert '<option value="provision" selected>Organizations</option>' in listed
    assert '<option value="organization" selected>organization</option>' in listed
    assert str(message_id) in listed
    assert "Organizations 1" in browser.get("/").text


def test_a_provider_whose_circuit_is_open_links_to_its_waiting_messages_and_their_errors(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.execute(
        "insert into providers (name, open_until, consecutive_opens, last_failure_class, last_error, last_failed_at)"
        " values"
        " ('smtp:down.example.org:587', now() + interval '1 minute', 1, 'provider', 'AUTH: 535 5.7.8 denied', now()),"
        " ('smtp:up.example.org:587', null, 0, 'provider', null, now())"
    )
    [message_id] = outbox.put(
        provider="'smtp:down.example.org:587'", last_error_class="'provider'", last_error="'no such host'"
    )
    browser = console.signed_in(token)
    assert "AUTH: 535 5.7.8 denied" in browser.get("/").text
    [link] = re.findall(r'id="waiting-\d+" href="([^"]+)"', browser.get("/").text)
    assert f'href="/messages/{message_id}"' in browser.get(unescape(link)).text
    page = browser.get(f"/messages/{message_id}").text
    assert "no such host" in page


def test_a_read_only_operator_sees_no_action_buttons(console: ConsoleUnderTest, outbox: Outbox) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(operators_token(console.database, Scope.READ))
    page = browser.get(f"/messages/{message_id}").text
    assert ("Requeue" in page, "Reveal" in page, "Discard" in page) == (False, False, False)
    assert "Requeue" not in browser.get("/").text


def test_an_unknown_message_is_reported_on_a_page(console: ConsoleUnderTest, token: str) -> None:
    response = console.signed_in(token).get("/messages/00000000-0000-0000-0000-000000000000")
    assert (response.status_code, response.mimetype) == (404, "text/html")
    assert "Unknown message" in response.text


def test_an_action_without_a_reason_is_rejected(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    [message_id] = outbox.put(**DEAD)
    browser = console.signed_in(token)
    response = browser.post(f"/messages/{message_id}/requeue", data={"csrf": csrf_in(browser.get("/")), "reason": " "})
    assert response.status_code == 422
    assert outbox.row(message_id).status == "dead"


def test_the_chart_has_a_table_of_its_counts(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.execute(
        "insert into hourly_stats values (date_trunc('hour', now(), 'UTC'), 'email', 'sent', 1234),"
        " (date_trunc('hour', now(), 'UTC'), 'sms', 'sent', 6), (date_trunc('hour', now(), 'UTC'), 'sms', 'dead', 7)"
    )
    page = console.signed_in(token).get("/").text
    assert '<td class="number">1\N{NARROW NO-BREAK SPACE}240</td><td class="number">7</td>' in page


def test_an_unavailable_database_is_reported_on_pages_and_to_scripts(console: ConsoleUnderTest, token: str) -> None:
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
    refused = browser.post(address, data=form | {"recipient": "+33612345678", "locale": ""})
    assert refused.status_code == 422
    assert "not a valid e-mail address or phone number" in refused.text
    assert outbox.row(message_id).status == "dead"
    assert browser.post(address, data=form | {"recipient": " ops@example.net ", "locale": "fr"}).status_code == 303
    row = outbox.row(message_id)
    assert (row.status, row.recipient, row.locale) == ("pending", "ops@example.net", "fr")


def test_a_bulk_action_on_all_dead_messages_needs_a_confirmation_that_its_form_offers(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(count=2, **DEAD)
    browser = console.signed_in(token)
    page = browser.get("/bulk/new?status=dead")
    form = {"csrf": csrf_in(page), "status": "dead", "action": "discard", "reason": "a test"}
    assert browser.post("/bulk/new", data=form).status_code == 422
    [(name, value)] = re.findall(r'type="checkbox" name="(\w+)" value="(\w+)" required', page.text)
    assert browser.post("/bulk/new", data=form | {name: value}).status_code == 303
    assert 'name="all"' not in browser.get("/bulk/new?channel=email").text


def test_a_bulk_discard_has_its_own_form_which_asks_for_confirmation(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(count=2, **DEAD)
    outbox.put(**(DEAD | {"dead_reason": "'discarded'"}))
    browser = console.signed_in(token)
    page = browser.get("/bulk/new?dead_reason=rejected").text
    requeue, discard = re.findall(r'<form method="post" action="/bulk/new">.*?</form>', page, re.DOTALL)
    assert ('value="discard"' in requeue, 'value="discard"' in discard) == (False, True)
    assert re.search(r'type="checkbox" required>\s*Discard these 2 messages', discard)
    assert "Discard" not in browser.get("/bulk/new?dead_reason=discarded").text.split('class="beside"')[1]
