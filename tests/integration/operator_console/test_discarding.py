"""Discard, and undo a discard."""

import pytest
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.discard import discard, undo_discard
from operator_console.actions.requeue import requeue
from operator_console.errors import ErasedError, NotDiscardedError
from shared.ids import uuid7
from shared.reports.report import ReportKind
from tests.support.delivery_reports import apply_reports, bounce, store
from tests.support.operators import AUDIT, lines_of, outboxctl, put_dead
from tests.support.outbox import Outbox

REASON = ("--reason", "a typo of 2019")


def test_undoing_a_discard_restores_the_reason(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox, dead_reason="'exhausted'")
    assert outboxctl(outbox.database, "discard", str(message_id), *REASON).exit_code == 0
    assert outbox.row(message_id).dead_reason == "discarded"
    assert outboxctl(outbox.database, "undo-discard", str(message_id), *REASON).exit_code == 0
    assert outbox.row(message_id).dead_reason == "exhausted"
    audited = lines_of(outboxctl(outbox.database, "audit"))
    assert [(row["action"], row["before"]["dead_reason"]) for row in audited] == [
        ("undo_discard", "discarded"),
        ("discard", "exhausted"),
    ]
    assert [row["after"] for row in audited] == [{"dead_reason": "exhausted"}, {"dead_reason": "discarded"}]


def test_discarded_messages_leave_the_counts_of_dead_messages(outbox: Outbox) -> None:
    [message_id, other] = put_dead(outbox, count=2)
    outboxctl(outbox.database, "discard", str(message_id), *REASON)
    [state] = lines_of(outboxctl(outbox.database, "status"))
    assert state["dead"] == 1
    [group] = lines_of(outboxctl(outbox.database, "groups"))
    assert (group["messages"], group["newest_id"]) == (1, str(other))
    [found] = lines_of(outboxctl(outbox.database, "list", "--dead-reason", "discarded"))
    assert found["id"] == str(message_id)


def test_discarding_twice_is_one_action(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox)
    for _ in range(2):
        assert outboxctl(outbox.database, "discard", str(message_id), *REASON).exit_code == 0
    assert outbox.number("select count(*) from operator_actions") == 1


def test_a_message_that_was_requeued_in_between_can_be_discarded_and_opened_again(outbox: Outbox) -> None:
    [message_id], [other] = put_dead(outbox), put_dead(outbox)
    for command in ("discard", "undo-discard", "requeue"):
        assert outboxctl(outbox.database, command, str(message_id), *REASON).exit_code == 0
    outbox.execute(
        "update outbox_messages set status = 'dead', dead_reason = 'exhausted', settled_at = now() where id = %s",
        message_id,
    )
    assert outboxctl(outbox.database, "discard", str(message_id), *REASON).exit_code == 0
    assert outboxctl(outbox.database, "requeue", str(other), *REASON).exit_code == 0
    assert outboxctl(outbox.database, "undo-discard", str(message_id), *REASON).exit_code == 0
    assert outbox.row(message_id).dead_reason == "exhausted"


@pytest.mark.parametrize(
    ("command", "action"),
    [("requeue", "be requeued"), ("discard", "be discarded"), ("undo-discard", "have its discard undone")],
)
def test_pending_and_sent_messages_are_refused(outbox: Outbox, command: str, action: str) -> None:
    ids = [*outbox.put(), *outbox.put(status="'sent'", settled_at="now()")]
    result = outboxctl(outbox.database, command, *map(str, ids), *REASON)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"outboxctl: message {ids[0]} is pending: only a dead message can {action}",
        f"outboxctl: message {ids[1]} is sent: only a dead message can {action}",
    ]
    assert outbox.execute("select * from operator_actions") == []


def test_only_an_operators_discard_can_be_undone(outbox: Outbox, console: sessionmaker[Session]) -> None:
    [rejected], [closed] = put_dead(outbox), put_dead(outbox, dead_reason="'discarded'")
    for message_id in (rejected, closed):
        with pytest.raises(NotDiscardedError), console.begin() as session:
            undo_discard(session, message_id, AUDIT)


def test_messages_of_erased_users_are_refused(outbox: Outbox, console: sessionmaker[Session]) -> None:
    [message_id] = put_dead(outbox, recipient="'erased'", dead_reason="'discarded'")
    for act_on in (requeue, discard, undo_discard):
        with pytest.raises(ErasedError), console.begin() as session:
            act_on(session, message_id, AUDIT)


def test_of_several_messages_only_the_invalid_are_refused(outbox: Outbox) -> None:
    [first, second], unknown = put_dead(outbox, count=2), uuid7()
    result = outboxctl(outbox.database, "requeue", str(first), str(unknown), str(second), *REASON)
    assert result.exit_code == 1
    assert result.stderr == f"outboxctl: message {unknown} does not exist\n"
    assert outbox.number("select count(*) from outbox_messages where status = 'pending'") == 2


def test_ids_and_filters_exclude_each_other(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox)
    result = outboxctl(outbox.database, "requeue", str(message_id), "--all", "--yes", *REASON)
    assert result.exit_code == 2


def test_the_timeline_lists_events_in_order(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox, created_at="now() - interval '2 h'", settled_at="now() - interval '1 h'")
    outbox.execute(
        "insert into delivery_attempts (message_id, attempt, outcome, provider, error, ended_at)"
        " values (%s, 1, 'dead', 'smtp:mx:25', '550 ada@example.org?', now() - interval '61 min')",
        message_id,
    )
    outboxctl(outbox.database, "discard", str(message_id), *REASON)
    shown = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))[0]
    assert [(entry["event"], entry["detail"]) for entry in shown["timeline"]] == [
        ("enqueued", "email"),
        ("failed", "550 a…@example.org?"),
        ("dead", "rejected"),
        ("discard", "a typo of 2019"),
    ]


def test_the_timeline_has_delivery_reports_without_addresses(outbox: Outbox) -> None:
    [message_id] = outbox.put(status="'sent'", settled_at="now() - interval '1 min'", provider="'smtp:mx:25'")
    message = outbox.row(message_id)
    store(outbox.database, ReportKind.DELAYED, message_id=message_id)
    bounce(outbox.database, message, diagnostic="550 no ada@example.org here")
    bounce(outbox.database, message, to="a.typo@example.org", status_code="5.0.0")
    apply_reports(outbox.database)
    shown = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))[0]
    assert shown["delivery_state"] == "bounced"
    assert [report["kind"] for report in shown["reports"]] == ["delayed", "bounced", "bounced"]
    assert [(entry["event"], entry["detail"]) for entry in shown["timeline"]][-3:] == [
        ("delayed", "no details (by lmtp)"),
        ("bounced", "recipient, 5.1.1, 550 no a…@example.org here (by lmtp)"),
        ("report_ignored", "bounced, recipient, 5.0.0 (by lmtp)"),
    ]


def test_the_timeline_has_each_death_with_its_own_reason(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox, created_at="now() - interval '2 h'", dead_reason="'exhausted'")
    outbox.execute(
        "insert into delivery_attempts (message_id, attempt, outcome, provider, error, ended_at)"
        " values (%s, 1, 'dead', 'smtp:mx:25', '450 later', now() - interval '61 min')",
        message_id,
    )
    for command in ("discard", "undo-discard", "requeue"):
        assert outboxctl(outbox.database, command, str(message_id), *REASON).exit_code == 0
    outbox.execute("update outbox_messages set status = 'dead', dead_reason = 'expired', settled_at = now()")
    outboxctl(outbox.database, "requeue", str(message_id), *REASON)
    outbox.execute("update outbox_messages set status = 'dead', dead_reason = 'poison', settled_at = now()")
    outboxctl(outbox.database, "show", str(message_id), "--reveal", *REASON)
    outboxctl(outbox.database, "discard", str(message_id), *REASON)
    shown = lines_of(outboxctl(outbox.database, "show", str(message_id), "--json"))[0]
    events = [(entry["event"], entry["detail"] if "dead" in entry["event"] else "") for entry in shown["timeline"]]
    assert [": ".join(filter(None, event)) for event in events] == [
        "enqueued",
        "failed",
        "dead: exhausted",
        "discard",
        "undo_discard",
        "requeue",
        "was_dead: expired",
        "requeue",
        "dead: poison",
        "reveal",
        "discard",
    ]


def test_a_superseded_message_cannot_be_discarded(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox, dead_reason="'superseded'")
    result = outboxctl(outbox.database, "discard", str(message_id), "--reason", "to requeue it then")
    assert (result.exit_code, "superseded" in result.stderr) == (1, True)
    assert outbox.row(message_id).dead_reason == "superseded"
