"""Bulk actions: their rate, stop and resume, and each message once."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.audit import Action
from operator_console.actions.bulk import (
    BulkAction,
    BulkPlan,
    BulkStatus,
    list_bulks,
    next_running_bulk,
    resume_bulk,
    step_bulk,
    step_size,
    stop_bulk,
)
from operator_console.actions.bulk import start_bulk as begin
from operator_console.errors import FilterRequiredError
from operator_console.filters import MessageFilter
from operator_console.queries.audit import list_actions
from operator_console.queries.messages import show_message
from shared.vocabulary import Channel, DeadReason
from tests.support.gates import row_locked
from tests.support.operators import AUDIT, lines_of, outboxctl, put_dead
from tests.support.outbox import Outbox

REQUEUED = "select count(*) from operator_actions, unnest(message_ids) as id where action = 'requeue'"
TWICE = (
    "select message.id from operator_actions, unnest(message_ids) as message (id)"
    " where action = 'requeue' group by 1 having count(*) > 1"
)
PENDING = "select count(*) from outbox_messages where status = 'pending'"
NEXT_STEP_NOW = "update bulk_actions set next_step_at = now()"
EMAILS = MessageFilter(channel=Channel.EMAIL)


def started(
    console: sessionmaker[Session], per_minute: int | None = None, wanted: MessageFilter = EMAILS
) -> BulkAction:
    with console.begin() as session:
        return begin(session, BulkPlan(Action.REQUEUE, wanted, per_minute), AUDIT)


def stepped(console: sessionmaker[Session], bulk_id: UUID) -> BulkAction:
    with console.begin() as session:
        return step_bulk(session, bulk_id)


def test_a_bulk_action_requeues_exactly_the_matching_messages(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox, count=3)
    put_dead(outbox, channel="sms", recipient="'+33612345678'")
    one = started(console)
    assert (one.found, one.acted, one.status) == (3, 0, "running")
    one = stepped(console, one.id)
    assert (one.acted, one.skipped, one.status) == (3, 0, "done")
    assert outbox.execute("select channel from outbox_messages where status = 'dead'") == [("sms",)]
    assert outbox.execute("select distinct bulk_id from operator_actions where action = 'requeue'") == [(one.id,)]


@pytest.mark.parametrize(("per_minute", "size"), [(None, 200), (60_000, 200), (600, 20), (60, 2), (29, 1), (1, 1)])
def test_a_step_takes_two_seconds_of_the_rate(per_minute: int | None, size: int) -> None:
    assert step_size(per_minute) == size


def test_steps_pause_as_the_rate_requires(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox, count=3)
    one = stepped(console, started(console, per_minute=1).id)
    assert one.acted == 1
    assert timedelta(0) < one.wait <= timedelta(minutes=1)
    paused = "select next_step_at - (select max(acted_at) from operator_actions) from bulk_actions"
    assert outbox.execute(paused) == [(timedelta(minutes=1),)]
    # An early call does nothing, also from another process.
    assert stepped(console, one.id).acted == 1
    outbox.execute("update bulk_actions set next_step_at = next_step_at - interval '1 min'")
    assert stepped(console, one.id).acted == 2


def test_a_stopped_bulk_action_continues_at_its_cursor_when_resumed(
    outbox: Outbox, console: sessionmaker[Session]
) -> None:
    put_dead(outbox, count=5)
    one = stepped(console, started(console, per_minute=60).id)
    with console.begin() as session:
        assert stop_bulk(session, one.id, AUDIT).status == BulkStatus.STOPPED
    outbox.execute(NEXT_STEP_NOW)
    assert stepped(console, one.id).acted == 2
    outbox.execute("update bulk_actions set per_minute = null")
    result = outboxctl(outbox.database, "bulk", "resume", str(one.id), "--reason", "the server is back")
    assert (result.exit_code, result.stdout) == (0, "5 requeued\n")
    assert outbox.number(REQUEUED) == 5
    assert outbox.execute(TWICE) == []
    [shown] = lines_of(outboxctl(outbox.database, "bulk", "list"))
    assert (shown["id"], shown["status"], shown["acted"], shown["found"]) == (str(one.id), "done", 5, 5)


def test_a_message_that_dies_again_is_not_requeued_again(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox, count=3)
    one = stepped(console, started(console, per_minute=30).id)
    outbox.execute(
        "update outbox_messages set status = 'dead', dead_reason = 'rejected', settled_at = clock_timestamp()"
        " where status = 'pending'"
    )
    put_dead(outbox, settled_at="clock_timestamp()")
    outbox.execute("update bulk_actions set per_minute = null, next_step_at = now()")
    one = stepped(console, one.id)
    assert (one.acted, one.status) == (3, "done")
    assert outbox.execute(TWICE) == []


def test_concurrent_steps_requeue_each_message_once(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox, count=3)
    one = started(console)
    with console.begin() as first:
        assert step_bulk(first, one.id).acted == 3
        assert stepped(console, one.id).acted == 0
    assert outbox.number(REQUEUED) == 3


def test_the_next_step_repeats_one_that_was_rolled_back(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox, count=3)
    one = started(console)
    with console() as dying:
        step_bulk(dying, one.id)
        dying.rollback()
    assert outbox.number(PENDING) == 0
    assert stepped(console, one.id).acted == 3


def test_superseded_erased_and_discarded_messages_are_excluded(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox, dead_reason="'superseded'")
    put_dead(outbox, dead_reason="'discarded'")
    put_dead(outbox, recipient="'erased'")
    assert started(console).found == 0
    asked_for = started(console, wanted=MessageFilter(dead_reason=DeadReason.DISCARDED))
    assert stepped(console, asked_for.id).acted == 1


def test_one_failing_message_stops_no_other(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox)
    put_dead(outbox, payload="'[]'", user_id=(user := "gen_random_uuid()"), token_id="null")
    put_dead(outbox)
    outbox.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;"
        "create trigger refuse before update on outbox_messages for each row when (old.user_id is not null)"
        " execute function refuse()"
    )
    one = stepped(console, started(console).id)
    assert (one.acted, one.skipped, one.status) == (2, 1, "done")
    assert outbox.number(REQUEUED) == 2, user


@pytest.mark.parametrize("sqlstate", ["42P01", "42703", "42883"], ids=["table", "column", "function"])
def test_a_step_on_a_schema_that_lacks_something_skips_no_message(
    outbox: Outbox, console: sessionmaker[Session], sqlstate: str
) -> None:
    put_dead(outbox)
    one = started(console)
    outbox.execute(
        f"create function lack() returns trigger language plpgsql as $$ begin raise 'no' using errcode = '{sqlstate}';"
        " end $$; create trigger lack before update on outbox_messages for each row execute function lack()"
    )
    with pytest.raises(ProgrammingError):
        stepped(console, one.id)
    assert outbox.execute("select status, skipped from bulk_actions") == [("running", 0)]


def test_without_a_filter_all_is_required(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox, count=2)
    with pytest.raises(FilterRequiredError), console.begin() as session:
        begin(session, BulkPlan(Action.REQUEUE, MessageFilter()), AUDIT)
    refused = outboxctl(outbox.database, "requeue", "--reason", "all of it", "--yes")
    assert refused.exit_code == 2
    assert "--all" in refused.stderr
    assert outbox.number(PENDING) == 0
    allowed = outboxctl(outbox.database, "requeue", "--reason", "all of it", "--yes", "--all")
    assert (allowed.exit_code, allowed.stdout) == (0, "2 dead messages\n2 requeued\n")


def test_a_dry_run_counts_and_changes_nothing(outbox: Outbox) -> None:
    put_dead(outbox, count=2)
    result = outboxctl(outbox.database, "requeue", "--dead-reason", "rejected", "--dry-run")
    assert result.stdout == "2 dead messages would be requeued\n"
    assert outbox.execute("select count(*) from bulk_actions") == [(0,)]
    assert outbox.number(PENDING) == 0


def test_without_a_terminal_yes_is_required(outbox: Outbox) -> None:
    put_dead(outbox)
    unknown = outboxctl(outbox.database, "requeue", "--cause", "nope", "--dry-run")
    assert (unknown.exit_code, "no dead message has this cause" in unknown.stderr) == (1, True)
    result = outboxctl(outbox.database, "discard", "--dead-reason", "rejected", "--reason", "old")
    assert result.exit_code == 2
    assert "add --yes" in result.stderr
    done = outboxctl(outbox.database, "discard", "--dead-reason", "rejected", "--reason", "old", "--yes")
    assert done.stdout == "1 dead message\n1 discarded\n"


def test_a_finished_bulk_action_stores_no_address(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox)
    one = started(console, wanted=MessageFilter(recipient="ada@example.org"))
    stepped(console, one.id)
    assert "ada@" not in str(outbox.execute("select wanted::text from bulk_actions"))
    assert "ada@" not in str(outbox.execute("select before::text, after::text from operator_actions"))


def test_an_unknown_bulk_action_is_an_error(outbox: Outbox) -> None:
    unknown = str(UUID(int=7))
    for command in ("stop", "resume"):
        result = outboxctl(outbox.database, "bulk", command, unknown, "--reason", "why not")
        assert (result.exit_code, result.stderr) == (1, f"outboxctl: bulk action {unknown} does not exist\n")


def test_locked_messages_are_skipped_without_waiting(outbox: Outbox, console: sessionmaker[Session]) -> None:
    [held, _, _] = put_dead(outbox, count=3)
    one = started(console)
    with row_locked(outbox.database, held):
        one = stepped(console, one.id)
    assert (one.found, one.acted, one.skipped, one.status) == (3, 2, 1, "done")
    assert outbox.row(held).status == "dead"


def test_messages_that_others_changed_first_count_as_skipped_at_the_end(
    outbox: Outbox, console: sessionmaker[Session]
) -> None:
    put_dead(outbox, count=3)
    one = started(console)
    outbox.execute("update outbox_messages set dead_reason = 'discarded'")
    one = stepped(console, one.id)
    assert (one.found, one.acted, one.skipped, one.status) == (3, 0, 3, "done")


def test_each_step_stores_its_progress(outbox: Outbox, console: sessionmaker[Session]) -> None:
    held, *others = put_dead(outbox, count=5)
    one = started(console, per_minute=60)
    with row_locked(outbox.database, held):
        one = stepped(console, one.id)
    assert (one.acted, one.skipped, one.done, one.status) == (1, 1, 2, "running")
    outbox.execute(NEXT_STEP_NOW)
    with row_locked(outbox.database, others[1]), row_locked(outbox.database, others[2]):
        one = stepped(console, one.id)
    assert (one.acted, one.skipped, one.done, one.status) == (1, 3, 4, "running")


def test_a_step_has_one_audit_row_with_its_filter_and_count(outbox: Outbox, console: sessionmaker[Session]) -> None:
    ids = put_dead(outbox, count=3)
    wanted = MessageFilter(recipient="ada@example.org")
    one = stepped(console, started(console, wanted=wanted).id)
    with console.begin() as session:
        step, _ = list_actions(session)
    assert (step.action, step.message_id, step.bulk_id, step.after) == ("requeue", None, one.id, {"status": "pending"})
    assert step.before == {"filter": {"recipient": "a…@example.org"}, "messages": 3}
    for message_id in ids:
        with console.begin() as session:
            message = show_message(session, message_id)
        [action] = message.operator_actions
        assert (action.id, action.message_id, action.before["dead_reason"]) == (step.id, message_id, "rejected")
        [event] = [entry for entry in message.timeline if entry.event == "requeue"]
        assert (event.actor, event.bulk_id) == ("ada", one.id)


def test_a_discard_by_a_bulk_action_can_be_undone_for_each_message(outbox: Outbox) -> None:
    [rejected, exhausted] = [*put_dead(outbox), *put_dead(outbox, dead_reason="'exhausted'")]
    assert outboxctl(outbox.database, "discard", "--all", "--yes", "--reason", "old").exit_code == 0
    for message_id, reason in ((exhausted, "exhausted"), (rejected, "rejected")):
        assert outboxctl(outbox.database, "undo-discard", str(message_id), "--reason", "not old").exit_code == 0
        assert outbox.row(message_id).dead_reason == reason


def test_the_start_of_a_bulk_action_is_audited(outbox: Outbox, console: sessionmaker[Session]) -> None:
    put_dead(outbox, count=2)
    one = started(console, per_minute=60)
    assert outbox.execute("select operator, action, reason, bulk_id, before, after from operator_actions") == [
        ("ada", "start_bulk", "a test", one.id, {},
         {"action": "requeue", "filter": {"channel": "email"}, "found": 2, "per_minute": 60}),
    ]  # fmt: skip


def test_bulk_actions_are_listed_newest_first(console: sessionmaker[Session]) -> None:
    ids = [started(console).id for _ in range(3)]
    with console() as session:
        assert [one.id for one in list_bulks(session)] == ids[::-1]
        assert [one.id for one in list_bulks(session, limit=2)] == ids[:0:-1]


def test_the_running_bulk_action_that_is_due_first_is_next(outbox: Outbox, console: sessionmaker[Session]) -> None:
    stopped, later, next_one = (started(console).id for _ in range(3))
    outbox.execute("update bulk_actions set status = 'stopped' where id = %s", stopped)
    outbox.execute("update bulk_actions set next_step_at = next_step_at + interval '1 h' where id = %s", later)
    with console() as session:
        found = next_running_bulk(session)
    assert found is not None
    assert (found.id, found.wait) == (next_one, timedelta(0))


def test_a_stop_and_a_resumption_are_audited_if_they_change_something(
    outbox: Outbox, console: sessionmaker[Session]
) -> None:
    one = started(console)
    for switch in (resume_bulk, stop_bulk, stop_bulk, resume_bulk):
        with console.begin() as session:
            switch(session, one.id, AUDIT)
    assert outbox.execute("select action, operator, reason, bulk_id from operator_actions order by id offset 1") == [
        ("stop_bulk", "ada", "a test", one.id),
        ("resume_bulk", "ada", "a test", one.id),
    ]
