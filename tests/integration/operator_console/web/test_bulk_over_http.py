"""Acting on all that a filter lets through: counted first, at a rate, stopped and resumed."""

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
    """Make one step, as the console's own thread does."""
    return float(console.app.extensions[EXTENSION].bulk_worker.step())


def begun(console: ConsoleUnderTest, token: str, path: str = "/v1/requeues", **body: Any) -> Any:
    return console.ask("POST", path, token, json={"filter": {"dead_reason": "rejected"}, "reason": "mended"} | body)


def test_a_dry_run_counts_and_does_nothing(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(count=3, **DEAD)
    answer = begun(console, token, dry_run=True)
    assert (answer.status_code, answer.json) == (200, {"found": 3, "dry_run": True})
    step(console)
    assert outbox.number("select count(*) from bulk_acts") + outbox.number(PENDING) == 0


def test_what_is_begun_is_accepted_with_its_count_and_carried_on(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(count=3, **DEAD)
    answer = begun(console, token)
    assert (answer.status_code, answer.json["found"], answer.json["status"]) == (202, 3, "running")
    step(console)
    shown = console.ask("GET", answer.headers["Location"], token).json
    assert (shown["acted"], shown["status"], outbox.number(PENDING)) == (3, "done", 3)


def test_what_a_newer_release_began_is_shown_and_holds_up_nothing_else(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(count=3, **DEAD)
    newer = begun(console, token).json["id"]
    outbox.execute('update bulk_acts set wanted = \'{"template": "of_tomorrow"}\'')
    begun(console, token)
    step(console)
    step(console)
    shown = {one["id"]: one for one in console.ask("GET", "/v1/bulk-actions", token).json["bulk_actions"]}
    assert (shown[newer]["status"], shown[newer]["acted"]) == ("running", 0)
    assert shown[newer]["filter"] == {"template": "of_tomorrow"}
    assert outbox.number(PENDING) == 3


def test_a_defect_in_one_bulk_action_does_not_end_the_thread_that_all_of_them_need(
    database: Database, outbox: Outbox, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with console_on(database) as console:  # and with its thread, which ends with it
        carries_on_past_a_defect(console, outbox, token, monkeypatch)


def carries_on_past_a_defect(
    console: ConsoleUnderTest, outbox: Outbox, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.put(count=3, **DEAD)
    broken = begun(console, token).json["id"]

    def step_with_a_defect(session: Session, bulk_id: UUID) -> BulkAction:
        if str(bulk_id) == broken:
            raise RuntimeError("a defect")
        return step_bulk(session, bulk_id)

    monkeypatch.setattr(bulk_worker, "step_bulk", step_with_a_defect)
    console.app.start_workers()
    eventually(lambda: outbox.number("select count(*) from bulk_acts where next_step_at > now()"))
    healthy = begun(console, token).json["id"]
    eventually(lambda: outbox.number(f"select count(*) from bulk_acts where id = '{healthy}' and status = 'done'"))
    assert outbox.number(PENDING) == 3
    assert outbox.number(f"select count(*) from bulk_acts where id = '{broken}' and status = 'running'") == 1


def test_many_can_be_discarded_as_well(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(count=2, **DEAD)
    assert begun(console, token, "/v1/discards").status_code == 202
    step(console)
    assert outbox.number("select count(*) from outbox_messages where dead_reason = 'discarded'") == 2


def test_a_rate_is_kept_and_a_stop_holds_until_it_is_resumed(
    console: ConsoleUnderTest, outbox: Outbox, token: str
) -> None:
    outbox.put(count=5, **DEAD)
    path = begun(console, token, per_minute=1).headers["Location"]
    assert step(console) >= 0
    assert step(console) > 1
    assert outbox.number(PENDING) == 1
    assert console.ask("POST", f"{path}/stop", token, json={"reason": "too many"}).json["status"] == "stopped"
    outbox.execute("update bulk_acts set next_step_at = now()")
    step(console)
    assert outbox.number(PENDING) == 1
    assert console.ask("POST", f"{path}/resume", token, json={"reason": "go on"}).json["status"] == "running"
    step(console)
    assert outbox.number(PENDING) == 2


@pytest.mark.parametrize("wanted", [{}, {"status": "dead"}])
def test_everything_has_to_be_said(
    console: ConsoleUnderTest, outbox: Outbox, token: str, wanted: dict[str, str]
) -> None:
    outbox.put(count=2, **DEAD)
    refused = begun(console, token, filter=wanted)
    assert (refused.status_code, refused.json["code"]) == (422, "filter_required")
    assert begun(console, token, filter=wanted, all=True).json["found"] == 2


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
def test_a_plan_is_read_strictly(
    console: ConsoleUnderTest, token: str, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = begun(console, token, **body)
    assert answer.status_code == 422
    assert [(error["pointer"], error["code"]) for error in answer.json["errors"]] == [(pointer, code)]


def test_the_address_asked_for_is_masked_while_it_runs(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(**DEAD)
    path = begun(console, token, filter={"recipient": "ada@example.org"}, per_minute=1).headers["Location"]
    browser = console.signed_in(token)
    shown = [console.ask("GET", each, token).text for each in (path, "/v1/bulk-actions", "/v1/audit")]
    shown += [browser.get(each).text for each in (path.replace("/v1/bulk-actions", "/bulk"), "/bulk", "/audit")]
    assert [text for text in shown if "ada@" in text] == []


def test_the_page_begins_one_from_a_cause(console: ConsoleUnderTest, outbox: Outbox, token: str) -> None:
    outbox.put(count=2, **DEAD)
    outbox.put(**(DEAD | {"dead_reason": "'expired'"}))
    browser = console.signed_in(token)
    [(cause, _), _] = [
        (one["cause"], one["messages"]) for one in console.ask("GET", "/v1/messages/groups", token).json["causes"]
    ]
    asked = browser.get(f"/bulk/new?cause={cause}")
    assert "Requeue 2" in asked.text
    form = {"csrf": csrf_in(asked), "cause": cause, "reason": "mended", "per_minute": "", "action": "requeue"}
    answer = browser.post("/bulk/new", data=form)
    assert answer.status_code == 303
    step(console)
    assert outbox.number(PENDING) == 2
    assert "2</strong> of 2" in browser.get(answer.headers["Location"]).text


def test_an_unknown_one_is_not_found(console: ConsoleUnderTest, token: str) -> None:
    path = "/v1/bulk-actions/00000000-0000-0000-0000-000000000000"
    assert console.ask("GET", path, token).json["code"] == "unknown_bulk"
    assert console.ask("POST", f"{path}/stop", token, json={"reason": "why"}).status_code == 404
