"""Closing what nobody need look at any more, and opening it again."""

import pytest
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.discard import discard, undo_discard
from operator_console.actions.requeue import requeue
from operator_console.errors import ErasedError, NotDiscardedError
from shared.ids import uuid7
from tests.support.desk import ACT, lines_of, outboxctl, put_dead
from tests.support.outbox import Outbox

REASON = ("--reason", "a typo of 2019")


def test_discarding_closes_a_message_and_undoing_gives_its_reason_back(outbox: Outbox) -> None:
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


def test_discarding_twice_is_one_change(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox)
    for _ in range(2):
        assert outboxctl(outbox.database, "discard", str(message_id), *REASON).exit_code == 0
    assert outbox.number("select count(*) from operator_actions") == 1


@pytest.mark.parametrize("command", ["requeue", "discard", "undo-discard"])
def test_what_is_pending_or_sent_is_refused(outbox: Outbox, command: str) -> None:
    ids = [*outbox.put(), *outbox.put(status="'sent'", settled_at="now()")]
    result = outboxctl(outbox.database, command, *map(str, ids), *REASON)
    assert result.exit_code == 1
    assert [line.split(": only")[0] for line in result.stderr.splitlines()] == [
        f"outboxctl: message {ids[0]} is pending",
        f"outboxctl: message {ids[1]} is sent",
    ]
    assert outbox.execute("select * from operator_actions") == []


def test_only_what_an_operator_discarded_is_opened_again(outbox: Outbox, console: sessionmaker[Session]) -> None:
    [rejected], [closed] = put_dead(outbox), put_dead(outbox, dead_reason="'discarded'")
    for message_id in (rejected, closed):
        with pytest.raises(NotDiscardedError), console.begin() as session:
            undo_discard(session, message_id, ACT)


def test_whose_user_was_erased_is_neither_requeued_nor_opened(outbox: Outbox, console: sessionmaker[Session]) -> None:
    [message_id] = put_dead(outbox, recipient="'erased'", dead_reason="'discarded'")
    for act_on in (requeue, discard, undo_discard):
        with pytest.raises(ErasedError), console.begin() as session:
            act_on(session, message_id, ACT)


def test_of_several_those_that_can_be_are_done_and_the_others_said(outbox: Outbox) -> None:
    [first, second], unknown = put_dead(outbox, count=2), uuid7()
    result = outboxctl(outbox.database, "requeue", str(first), str(unknown), str(second), *REASON)
    assert result.exit_code == 1
    assert result.stderr == f"outboxctl: there is no message {unknown}\n"
    assert outbox.number("select count(*) from outbox_messages where status = 'pending'") == 2


def test_messages_are_named_or_chosen_not_both(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox)
    result = outboxctl(outbox.database, "requeue", str(message_id), "--all", "--yes", *REASON)
    assert result.exit_code == 2


def test_the_timeline_tells_what_happened_in_its_order(outbox: Outbox) -> None:
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
        ("dead", "550 a…@example.org?"),
        ("dead", "discarded"),
        ("discard", "a typo of 2019"),
    ]


def test_what_a_newer_message_replaced_cannot_come_back_by_way_of_a_discard(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox, dead_reason="'superseded'")
    result = outboxctl(outbox.database, "discard", str(message_id), "--reason", "to requeue it then")
    assert (result.exit_code, "superseded" in result.stderr) == (1, True)
    assert outbox.row(message_id).dead_reason == "superseded"
