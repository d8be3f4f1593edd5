"""/v1: messages, actions on one message, stats and health."""

import json
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from tests.support.consoles import ConsoleUnderTest, csrf_in
from tests.support.operators import a_user
from tests.support.outbox import Outbox

UNKNOWN_ID = UUID(int=0)
DEAD = {
    "status": "'dead'",
    "dead_reason": "'rejected'",
    "settled_at": "now()",
    "attempt": "1",
    "provider": "'smtp:mx:25'",
    "last_error_class": "'recipient'",
    "last_error": "'550 5.1.1 <ada@example.org>: no such user'",
}


def a_dead_message(outbox: Outbox, **columns: str) -> UUID:
    [message_id] = outbox.put(**(DEAD | {"token_id": "null"} | columns))
    return message_id


def ids_in(response: Any) -> list[str]:
    return [message["id"] for message in response.json["messages"]]


def test_following_the_links_shows_each_message_once(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    expected = [str(message_id) for message_id in reversed(outbox.put(count=7))]
    seen, path = [], "/v1/messages?limit=3&channel=email"
    while path:
        response = console.ask("GET", path, token)
        seen += ids_in(response)
        link = response.headers.get("Link", "")
        assert (response.json["next_cursor"] is None) == (link == "")
        path = link.removeprefix("<").removesuffix('>; rel="next"')
        assert "channel=email" in (path or "channel=email")
    assert seen == expected


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 4),
        ("status=dead", 1),
        ("status=&dead_reason=&channel=&template=&provider=&recipient=", 4),
        ("dead_reason=rejected", 1),
        ("dead_reason=expired", 0),
        ("channel=sms", 1),
        ("channel=provision", 1),
        ("template=organization", 1),
        ("template=welcome", 0),
        (f"provider={quote('smtp:mx:25')}", 1),
        ("recipient=ada@example.org", 3),
        (f"recipient={quote('+33612345678')}", 1),
        ("created_after=2100-01-01T00:00:00Z", 0),
        ("created_before=2100-01-01T00:00:00Z", 4),
    ],
)
def test_the_list_can_be_filtered(
    console: ConsoleUnderTest, outbox: Outbox, token: str, query: str, count: int
) -> None:
    a_dead_message(outbox)
    outbox.put()
    outbox.put(channel="sms", recipient="'+33612345678'")
    outbox.put(channel="provision", template="'organization'")
    assert len(ids_in(console.ask("GET", f"/v1/messages?{query}", token))) == count


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("state=dead", "state", "unknown_field"),
        ("status=gone", "status", "invalid_choice"),
        ("created_after=yesterday", "created_after", "invalid_time"),
        ("created_after=2026-11-21T03:00:00", "created_after", "invalid_time"),
        ("limit=0", "limit", "out_of_range"),
        ("limit=201", "limit", "out_of_range"),
        ("limit=many", "limit", "invalid_type"),
        ("cursor=7", "cursor", "invalid_cursor"),
        ("status=dead&status=sent", "status", "invalid_type"),
    ],
)
def test_invalid_queries_are_rejected_with_the_field(
    console: ConsoleUnderTest, token: str, query: str, pointer: str, code: str
) -> None:
    response = console.ask("GET", f"/v1/messages?{query}", token)
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [(pointer, code)]


def test_addresses_are_masked_unless_an_audit_row_records_the_reveal(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    message_id = a_dead_message(outbox)
    for path in ("/v1/messages", f"/v1/messages/{message_id}", "/v1/messages/groups", "/v1/audit"):
        assert "ada@" not in console.ask("GET", path, token).text
    revealed = console.ask("POST", f"/v1/messages/{message_id}/reveal", token, json={"reason": "she called"})
    assert revealed.json["recipient"] == "ada@example.org"
    assert revealed.json["last_error"] == "550 5.1.1 <ada@example.org>: no such user"
    [latest] = [one for one in console.ask("GET", "/v1/audit", token).json["actions"] if one["action"] == "reveal"]
    assert (latest["operator"], latest["reason"], latest["message_id"]) == ("ada", "she called", str(message_id))


def test_revealing_an_unknown_message_adds_no_audit_row(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    assert console.ask("POST", f"/v1/messages/{UNKNOWN_ID}/reveal", token, json={"reason": "why"}).status_code == 404
    assert outbox.number("select count(*) from operator_actions where action = 'reveal'") == 0


def test_groups_count_by_cause_and_filter_by_its_id(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    for name in ("ada", "grace"):
        a_dead_message(outbox, recipient=f"'{name}@example.org'", last_error=f"'550 5.1.1 <{name}@example.org>: no'")
    a_dead_message(outbox, dead_reason="'expired'", last_error="null", provider="null")
    groups = console.ask("GET", "/v1/messages/groups", token).json["causes"]
    assert [(group["messages"], group["dead_reason"]) for group in groups] == [(2, "rejected"), (1, "expired")]
    assert groups[0]["first_seen"] <= groups[0]["last_seen"]
    assert len(ids_in(console.ask("GET", f"/v1/messages?cause={groups[0]['cause']}", token))) == 2


def test_requeue_is_accepted_once_and_then_a_conflict(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    path = f"/v1/messages/{a_dead_message(outbox)}/requeue"
    first = console.ask("POST", path, token, json={"reason": "mailbox exists now"})
    second = console.ask("POST", path, token, json={"reason": "mailbox exists now"})
    assert (first.status_code, first.json["status"]) == (202, "pending")
    assert (second.status_code, second.json["code"]) == (409, "not_dead")
    assert len(outbox.claim(5)) == 1


def test_a_discard_can_be_repeated_and_undone(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    message_id = a_dead_message(outbox)
    for _ in range(2):
        response = console.ask("POST", f"/v1/messages/{message_id}/discard", token, json={"reason": "a test account"})
        assert (response.status_code, response.json["dead_reason"]) == (200, "discarded")
    undone = console.ask("POST", f"/v1/messages/{message_id}/undo-discard", token, json={"reason": "a slip"})
    assert (undone.status_code, undone.json["dead_reason"]) == (200, "rejected")
    again = console.ask("POST", f"/v1/messages/{message_id}/undo-discard", token, json={"reason": "a slip"})
    assert (again.status_code, again.json["code"]) == (409, "not_discarded")


@pytest.mark.parametrize("act", ["requeue", "discard", "undo-discard"])
def test_pending_and_unknown_messages_are_rejected(
    console: ConsoleUnderTest, outbox: Outbox, token: str, act: str
) -> None:
    [pending] = outbox.put()
    living = console.ask("POST", f"/v1/messages/{pending}/{act}", token, json={"reason": "why"})
    unknown = console.ask("POST", f"/v1/messages/{UNKNOWN_ID}/{act}", token, json={"reason": "why"})
    assert (living.status_code, living.json["code"]) == (409, "not_dead")
    assert (unknown.status_code, unknown.json["code"]) == (404, "unknown_message")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"{}", (422, "validation_failed")),
        (b'{"reason": "  "}', (422, "validation_failed")),
        (b'{"reason": 7}', (422, "validation_failed")),
        (b'{"reason": "a", "reason": "b"}', (400, "malformed_json")),
        (b'{"reason": NaN}', (400, "malformed_json")),
        (b"[1]", (422, "validation_failed")),
        (b'{"reason": "a", "when": "now"}', (422, "validation_failed")),
        (json.dumps({"reason": "x" * 501}).encode(), (422, "validation_failed")),
        (json.dumps({"reason": "x" * 17_000}).encode(), (413, "body_too_large")),
    ],
)
def test_invalid_bodies_are_rejected_and_change_nothing(
    console: ConsoleUnderTest, outbox: Outbox, token: str, body: bytes, refusal: tuple[int, str]
) -> None:
    message_id = a_dead_message(outbox)
    path = f"/v1/messages/{message_id}/requeue"
    response = console.ask("POST", path, token, data=body, content_type="application/json")
    assert (response.status_code, response.json["code"]) == refusal
    assert outbox.row(message_id).status == "dead"


@pytest.mark.parametrize("recipient", ["ada", "ada@example.org, eve@example.org", "+33612345678"])
def test_a_correction_must_be_an_address_of_the_channel(
    console: ConsoleUnderTest, outbox: Outbox, token: str, recipient: str
) -> None:
    message_id = a_dead_message(outbox)
    asked = {"reason": "a slip", "recipient": recipient}
    response = console.ask("POST", f"/v1/messages/{message_id}/requeue", token, json=asked)
    assert (response.status_code, response.json["code"]) == (422, "wrong_address")
    browser = console.signed_in(token)
    form = asked | {"csrf": csrf_in(browser.get(f"/messages/{message_id}")), "locale": "fr"}
    page = browser.post(f"/messages/{message_id}/requeue", data=form)
    assert (page.status_code, "not a valid e-mail address" in page.text) == (422, True)
    assert f'value="{recipient}" aria-invalid="true"' in page.text
    assert 'value="a slip"' in page.text
    assert "<option selected>fr</option>" in page.text
    assert "hx-get" not in page.text
    assert outbox.row(message_id).status == "dead"


def test_a_form_without_a_reason_is_shown_again_with_its_values(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    message_id = a_dead_message(outbox)
    browser = console.signed_in(token)
    csrf = {"csrf": csrf_in(browser.get(f"/messages/{message_id}"))}
    plain = browser.post(f"/messages/{message_id}/requeue", data=csrf | {"reason": " "})
    correction = browser.post(f"/messages/{message_id}/requeue", data=csrf | {"recipient": "bo@example.org"})
    for page, id_ in ((plain, "why"), (correction, "why-correct")):
        assert page.status_code == 422
        assert f'<p class="wrong" id="wrong-{id_}" role="alert">This is required.</p>' in page.text
    assert 'value="bo@example.org"' in correction.text
    assert outbox.row(message_id).status == "dead"


def test_an_address_of_another_user_is_reported_at_the_field(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    user_id = a_user(outbox, status="active")
    message_id = a_dead_message(outbox, user_id=user_id)
    browser = console.signed_in(token)
    form = {"csrf": csrf_in(browser.get(f"/messages/{message_id}")), "reason": "x", "recipient": "eve@example.org"}
    page = browser.post(f"/messages/{message_id}/requeue", data=form)
    assert page.status_code == 409
    assert 'value="eve@example.org" aria-invalid="true"' in page.text
    assert "that address is not the user" in page.text


def test_a_body_that_is_not_json_is_an_unsupported_media_type(console: ConsoleUnderTest, token: str) -> None:
    response = console.ask("POST", f"/v1/messages/{UNKNOWN_ID}/requeue", token, data={"reason": "why"})
    assert (response.status_code, response.json["code"]) == (415, "unsupported_media_type")


def test_stats_show_backlog_lag_and_hours_by_channel(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(count=2, due_at="now() - interval '90 seconds'")
    a_dead_message(outbox)
    stats = console.ask("GET", "/v1/stats", token).json
    [mail] = [one for one in stats["backlog"] if one["channel"] == "email"]
    assert mail["due"] == 2
    assert mail["lag_seconds"] >= 90
    assert stats["dead"] == 1
    assert len({hour["hour"] for hour in stats["hours"]}) == 24
