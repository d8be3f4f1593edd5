"""Bulk actions over HTTP and on pages."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from operator_console.actions.bulk import BulkAction, step_bulk
from operator_console.web import bulk_worker
from operator_console.web.services import EXTENSION
from tests.support.consoles import ConsoleUnderTest, console_on, csrf_in
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.outbox import Outbox

DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "token_id": "null"}
PENDING = "select count(*) from outbox_messages where status = 'pending'"


def step(console: ConsoleUnderTest) -> float:
    """Run one step, as the console's thread does."""
    return float(console.app.extensions[EXTENSION].bulk_worker.step())


def started(console: ConsoleUnderTest, token: str, path: str = "/v1/requeues", **body: Any) -> Any:
    return console.ask("POST", path, token, json={"filter": {"dead_reason": "rejected"}, "reason": "mended"} | body)


def test_a_dry_run_only_counts(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(count=3, **DEAD)
    response = started(console, token, dry_run=True)
    assert (response.status_code, response.json) == (200, {"found": 3, "dry_run": True})
    step(console)
    assert outbox.number("select count(*) from bulk_actions") + outbox.number(PENDING) == 0


def test_a_bulk_action_is_accepted_with_its_count_and_run(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(count=3, **DEAD)
    response = started(console, token)
    assert (response.status_code, response.json["found"], response.json["status"]) == (202, 3, "running")
    step(console)
    shown = console.ask("GET", response.headers["Location"], token).json
    assert (shown["acted"], shown["status"], outbox.number(PENDING)) == (3, "done", 3)


def test_the_audit_shows_a_step_once_and_each_messages_timeline_links_to_the_bulk_action(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    ids = outbox.put(count=3, **DEAD)
    bulk_id = started(console, token).json["id"]
    step(console)
    browser = console.signed_in(token)
    audit = browser.get("/audit").text
    assert audit.count("Requeued") == 1
    assert "filter dead reason rejected, messages 3" in audit
    for message_id in ids:
        assert f'href="/bulk/{bulk_id}">bulk action</a>' in browser.get(f"/messages/{message_id}").text


def test_a_bulk_action_of_a_newer_release_is_shown_and_blocks_no_other(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(count=3, **DEAD)
    newer = started(console, token).json["id"]
    outbox.execute('update bulk_actions set wanted = \'{"template": "of_tomorrow"}\'')
    started(console, token)
    step(console)
    step(console)
    shown = {one["id"]: one for one in console.ask("GET", "/v1/bulk-actions", token).json["bulk_actions"]}
    assert (shown[newer]["status"], shown[newer]["acted"]) == ("running", 0)
    assert shown[newer]["filter"] == {"template": "of_tomorrow"}
    assert outbox.number(PENDING) == 3


def test_a_defect_in_one_bulk_action_does_not_end_the_thread_of_all(
    database: Database, outbox: Outbox, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with console_on(database) as console:  # with its thread, which ends with it
        continues_after_a_defect(console, outbox, token, monkeypatch)


def continues_after_a_defect(
    console: ConsoleUnderTest, outbox: Outbox, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.put(count=3, **DEAD)
    broken = started(console, token).json["id"]

    def step_with_a_defect(session: Session, bulk_id: UUID) -> BulkAction:
        if str(bulk_id) == broken:
            raise RuntimeError("a defect")
        return step_bulk(session, bulk_id)

    monkeypatch.setattr(bulk_worker, "step_bulk", step_with_a_defect)
    console.app.start_workers()
    eventually(lambda: outbox.number("select count(*) from bulk_actions where next_step_at > now()"))
    healthy = started(console, token).json["id"]
    eventually(lambda: outbox.number(f"select count(*) from bulk_actions where id = '{healthy}' and status = 'done'"))
    assert outbox.number(PENDING) == 3
    assert outbox.number(f"select count(*) from bulk_actions where id = '{broken}' and status = 'running'") == 1


def test_a_bulk_action_can_discard(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(count=2, **DEAD)
    assert started(console, token, "/v1/discards").status_code == 202
    step(console)
    assert outbox.number("select count(*) from outbox_messages where dead_reason = 'discarded'") == 2


def test_a_bulk_action_keeps_its_rate_and_stays_stopped_until_resumed(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(count=5, **DEAD)
    path = started(console, token, per_minute=1).headers["Location"]
    assert step(console) >= 0
    assert step(console) > 1
    assert outbox.number(PENDING) == 1
    assert console.ask("POST", f"{path}/stop", token, json={"reason": "too many"}).json["status"] == "stopped"
    outbox.execute("update bulk_actions set next_step_at = now()")
    step(console)
    assert outbox.number(PENDING) == 1
    assert console.ask("POST", f"{path}/resume", token, json={"reason": "go on"}).json["status"] == "running"
    step(console)
    assert outbox.number(PENDING) == 2


@pytest.mark.parametrize("wanted", [{}, {"status": "dead"}])
def test_an_empty_filter_needs_all(
    console: ConsoleUnderTest, outbox: Outbox, token: str, wanted: dict[str, str]
) -> None:
    outbox.put(count=2, **DEAD)
    refused = started(console, token, filter=wanted)
    assert (refused.status_code, refused.json["code"]) == (422, "filter_required")
    assert started(console, token, filter=wanted, all=True).json["found"] == 2


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"filter": {"status": "pending"}}, "#/filter/status", "only_dead"),
        ({"filter": {"reason": "x"}}, "#/filter/reason", "unknown_field"),
        ({"filter": "all"}, "#/filter", "invalid_type"),
        ({"per_minute": "60"}, "#/per_minute", "invalid_type"),
        ({"per_minute": True}, "#/per_minute", "invalid_type"),
        ({"per_minute": 0}, "#/per_minute", "out_of_range"),
        ({"dry_run": "no"}, "#/dry_run", "invalid_type"),
        ({"all": 1}, "#/all", "invalid_type"),
    ],
)
def test_bulk_bodies_are_validated_strictly(
    console: ConsoleUnderTest, token: str, body: dict[str, Any], pointer: str, code: str
) -> None:
    response = started(console, token, **body)
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [(pointer, code)]


def test_the_filters_recipient_is_masked_while_a_bulk_action_runs(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(**DEAD)
    path = started(console, token, filter={"recipient": "ada@example.org"}, per_minute=1).headers["Location"]
    browser = console.signed_in(token)
    shown = [console.ask("GET", each, token).text for each in (path, "/v1/bulk-actions", "/v1/audit")]
    shown += [browser.get(each).text for each in (path.replace("/v1/bulk-actions", "/bulk"), "/bulk", "/audit")]
    assert [text for text in shown if "ada@" in text] == []


def test_the_page_starts_a_bulk_action_from_a_cause(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(count=2, **DEAD)
    outbox.put(**(DEAD | {"dead_reason": "'expired'"}))
    browser = console.signed_in(token)
    [(cause, _), _] = [
        (one["cause"], one["messages"]) for one in console.ask("GET", "/v1/messages/groups", token).json["causes"]
    ]
    asked = browser.get(f"/bulk/new?cause={cause}")
    assert "Requeue 2" in asked.text
    form = {"csrf": csrf_in(asked), "cause": cause, "reason": "mended", "per_minute": "", "action": "requeue"}
    response = browser.post("/bulk/new", data=form)
    assert response.status_code == 303
    step(console)
    assert outbox.number(PENDING) == 2
    assert "2</strong> of 2" in browser.get(response.headers["Location"]).text


def test_an_unknown_bulk_action_is_not_found(console: ConsoleUnderTest, token: str) -> None:
    path = "/v1/bulk-actions/00000000-0000-0000-0000-000000000000"
    assert console.ask("GET", path, token).json["code"] == "unknown_bulk_action"
    assert console.ask("POST", f"{path}/stop", token, json={"reason": "why"}).status_code == 404
