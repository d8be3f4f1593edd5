from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import Dead, Deferred, Failure, FailureClass, Outcome, QueueKey, Retry, Sent
from outbox_relay.outbox.claim import CLAIM, START_OF_INDEX, ClaimStore, claim_parameters
from shared.vocabulary import Channel, DeadReason, Priority
from tests.support.maintenance import put_old
from tests.support.outbox import A_DAY, EXPIRED, Outbox

JUST_SETTLED = "select settled_at between now() - interval '1 minute' and now() from outbox_messages"
ATTEMPTS = "select attempt, outcome, provider, error_class, error, due_at from delivery_attempts"
MESSAGE = "select to_jsonb(message) from outbox_messages as message"
GREYLISTED = Failure(FailureClass.TRANSIENT, "smtp:mx:25", "450 4.2.0 try later")
REFUSED = Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no such user")
UNREACHABLE = Failure(FailureClass.PROVIDER, "smtp:mx:25", "connection refused")
SENT = Sent("smtp:mx:25", "queued-1")


def test_no_relay_can_claim_a_message_until_its_lease_ends(outbox: Outbox) -> None:
    outbox.put()
    assert len(outbox.claim(lease=A_DAY)) == 1
    assert outbox.claim() == []


def test_a_message_with_an_expired_lease_is_due_and_counted(outbox: Outbox) -> None:
    [message_id] = outbox.put()
    [first] = outbox.claim(lease=EXPIRED)
    [second] = outbox.claim(lease=A_DAY)
    assert first.id == second.id == message_id
    assert (first.lost_leases, second.lost_leases) == (0, 1)
    assert outbox.row(message_id).attempt == 0


def test_claims_take_the_longest_due_first_up_to_the_limit(outbox: Outbox) -> None:
    [late] = outbox.put(due_at="now() - interval '1 minute'")
    [latest] = outbox.put(due_at="now() - interval '2 minutes'")
    outbox.put()
    assert {message.id for message in outbox.claim(2)} == {late, latest}


def test_claims_skip_messages_not_due_or_of_another_channel(outbox: Outbox) -> None:
    outbox.put(due_at="now() + interval '1 minute'")
    outbox.put(channel="sms", recipient="'+33612345678'")
    assert outbox.claim(10) == []
    assert len(outbox.claim(10, channel=Channel.SMS)) == 1


def test_each_priority_is_claimed_separately(outbox: Outbox) -> None:
    outbox.put(count=3, priority="'low'", due_at="now() - interval '1 hour'")
    [code] = outbox.put()
    outbox.take_any_priority()
    outbox.put(priority="'of_tomorrow'")
    assert [message.id for message in outbox.claim(10)] == [code]
    assert len(outbox.claim(10, priority=Priority.LOW)) == 3


def test_the_backlog_is_counted_by_channel_over_all_priorities(outbox: Outbox) -> None:
    outbox.put(count=3, priority="'low'")
    outbox.put(count=2)
    assert outbox.execute("select channel, due from outbox_backlog") == [("email", 5)]


def test_leased_messages_count_as_leased_and_not_as_due(outbox: Outbox) -> None:
    outbox.put(count=3, due_at="now() - interval '1 hour'")
    outbox.put()
    outbox.claim(3, lease=A_DAY)
    assert outbox.execute("select due, leased, pending, lag_seconds < 60 from outbox_backlog") == [(1, 3, 4, True)]


def test_a_claim_does_not_change_a_messages_place_in_the_queue(outbox: Outbox) -> None:
    [message_id] = outbox.put(due_at="now() - interval '1 hour'")
    place = outbox.row(message_id).due_at
    [message] = outbox.claim(lease=A_DAY)
    assert message.due_at == outbox.row(message_id).due_at == place


def test_concurrent_claims_share_the_work_without_overlap(outbox: Outbox) -> None:
    ids = outbox.put(count=100)
    with outbox.database.connect() as other:
        other.execute("begin")
        locked = other.execute("select id from outbox_messages order by due_at, id limit 40 for update").fetchall()
        claimed = outbox.claim(100)
        other.execute("rollback")
    assert {message.id for message in claimed} == set(ids) - {message_id for (message_id,) in locked}


def test_sent_is_stored_with_the_provider_and_its_id(outbox: Outbox) -> None:
    outbox.put()
    [message] = outbox.claim()
    assert outbox.settle([(message, SENT)]) == 1
    row = outbox.row(message.id)
    assert (row.status, row.attempt, row.provider, row.provider_message_id) == ("sent", 1, "smtp:mx:25", "queued-1")
    assert row.lease_token is None
    assert outbox.execute(JUST_SETTLED) == [(True,)]


def test_a_retry_is_due_later_and_costs_an_attempt(outbox: Outbox) -> None:
    outbox.put()
    [message] = outbox.claim()
    outbox.settle([(message, Retry(timedelta(minutes=5), GREYLISTED))])
    row = outbox.row(message.id)
    assert (row.status, row.attempt, row.last_error_class, row.last_error) == (
        "pending", 1, "transient", "450 4.2.0 try later",
    )  # fmt: skip
    assert outbox.execute("select due_at - now() between '4 min' and '5 min' from outbox_messages") == [(True,)]
    assert outbox.execute(ATTEMPTS) == [(1, "retry", "smtp:mx:25", "transient", "450 4.2.0 try later", row.due_at)]


def test_a_deferral_costs_no_attempt(outbox: Outbox) -> None:
    outbox.put()
    [message] = outbox.claim()
    outbox.settle([(message, Deferred(timedelta(seconds=0), UNREACHABLE))])
    row = outbox.row(message.id)
    assert (row.status, row.attempt, row.last_error_class) == ("pending", 0, "provider")
    assert outbox.execute("select * from delivery_attempts") == []
    assert [again.id for again in outbox.claim()] == [message.id]


def test_a_released_message_keeps_its_place(outbox: Outbox) -> None:
    first = outbox.put(count=2, due_at="now() - interval '2 minutes'")
    outbox.settle([(message, Deferred(timedelta(0))) for message in outbox.claim(2)])
    outbox.put(count=5, due_at="now() - interval '1 minute'")
    assert [message.id for message in outbox.claim(2)] == first


def test_a_rejected_message_is_dead_with_its_reason(outbox: Outbox) -> None:
    outbox.put()
    [message] = outbox.claim()
    outbox.settle([(message, Dead(DeadReason.REJECTED, REFUSED))])
    row = outbox.row(message.id)
    assert (row.status, row.dead_reason, row.attempt) == ("dead", "rejected", 1)
    assert outbox.execute(ATTEMPTS) == [(1, "dead", "smtp:mx:25", "recipient", "550 5.1.1 no such user", None)]
    assert outbox.execute("select recipient, last_error from dead_letters") == [
        ("a…@example.org", "550 5.1.1 no such user")
    ]


def test_the_view_of_dead_letters_shows_no_address_in_errors(outbox: Outbox) -> None:
    outbox.put()
    [message] = outbox.claim()
    text = "550 5.1.1 <Ada@Example.org>: user unknown, forwarded from bob@example.net, phone 33612345678"
    outbox.settle([(message, Dead(DeadReason.REJECTED, replace(REFUSED, error=text)))])
    [(error,)] = outbox.execute("select last_error from dead_letters")
    assert error == "550 5.1.1 … user unknown, forwarded from … phone …"


def test_a_message_that_expired_unsent_is_dead_without_an_attempt(outbox: Outbox) -> None:
    outbox.put()
    [message] = outbox.claim()
    outbox.settle([(message, Dead(DeadReason.EXPIRED))])
    assert outbox.row(message.id).attempt == 0


def test_a_lost_lease_can_neither_kill_nor_delay_a_message(outbox: Outbox) -> None:
    outbox.put(count=2)
    stale = outbox.claim(2, lease=EXPIRED)
    fresh = outbox.claim(2, lease=A_DAY)
    verdicts = [Dead(DeadReason.REJECTED, REFUSED), Retry(A_DAY, GREYLISTED)]
    assert outbox.settle(list(zip(stale, verdicts, strict=True))) == 0
    for message in fresh:
        row = outbox.row(message.id)
        assert (row.status, row.attempt, row.lease_token) == ("pending", 0, message.lease_token)


def test_sent_is_stored_whichever_relay_holds_the_lease(outbox: Outbox) -> None:
    outbox.put()
    [stale] = outbox.claim(lease=EXPIRED)
    [fresh] = outbox.claim(lease=A_DAY)
    assert outbox.settle([(stale, SENT)]) == 1
    assert outbox.settle([(fresh, Dead(DeadReason.REJECTED, REFUSED))]) == 0
    assert outbox.row(fresh.id).status == "sent"


def test_a_late_sent_replaces_a_wrong_death(outbox: Outbox) -> None:
    outbox.put()
    [stale] = outbox.claim(lease=EXPIRED)
    [fresh] = outbox.claim(lease=A_DAY)
    outbox.settle([(fresh, Dead(DeadReason.REJECTED, REFUSED))])
    assert outbox.settle([(stale, SENT)]) == 1
    row = outbox.row(fresh.id)
    assert (row.status, row.dead_reason) == ("sent", None)


def test_many_outcomes_are_settled_in_one_statement(outbox: Outbox) -> None:
    outbox.put(count=4)
    messages = outbox.claim(4)
    outcomes = [SENT, Retry(A_DAY, GREYLISTED), Dead(DeadReason.REJECTED, REFUSED), Deferred(A_DAY)]
    assert outbox.settle(list(zip(messages, outcomes, strict=True))) == 4
    statuses = [outbox.row(message.id).status for message in messages]
    assert statuses == ["sent", "pending", "dead", "pending"]


@pytest.mark.parametrize(
    ("outcome", "columns", "times"),
    [
        (
            SENT,
            {"status": "sent", "attempt": 1, "provider": "smtp:mx:25", "provider_message_id": "queued-1"},
            {"settled_at"},
        ),
        (
            Retry(A_DAY, GREYLISTED),
            {"attempt": 1, "lost_leases": 0, "provider": "smtp:mx:25", "last_error_class": "transient",
             "last_error": "450 4.2.0 try later"},
            {"due_at"},
        ),
        (
            Dead(DeadReason.REJECTED, REFUSED),
            {"status": "dead", "dead_reason": "rejected", "attempt": 1, "provider": "smtp:mx:25",
             "last_error_class": "recipient", "last_error": "550 5.1.1 no such user"},
            {"settled_at"},
        ),
        (Dead(DeadReason.EXPIRED), {"status": "dead", "dead_reason": "expired"}, {"settled_at"}),
        (
            Deferred(A_DAY, UNREACHABLE),
            {"provider": "smtp:mx:25", "last_error_class": "provider", "last_error": "connection refused"},
            {"due_at"},
        ),
        (Deferred(timedelta(0)), {}, set()),
    ],
    ids=["sent", "retry", "dead", "dead untried", "deferred", "released"],
)  # fmt: skip
def test_an_outcome_ends_the_lease_and_changes_only_its_columns(
    outbox: Outbox, outcome: Outcome, columns: dict[str, Any], times: set[str]
) -> None:
    outbox.put()
    outbox.claim(lease=EXPIRED)
    [message] = outbox.claim()
    outbox.execute("update outbox_messages set provider = 'before', last_error_class = 'content', last_error = 'old'")
    [(before,)] = outbox.execute(MESSAGE)

    outbox.settle([(message, outcome)])

    [(after,)] = outbox.execute(MESSAGE)
    changed = {name: value for name, value in after.items() if value != before[name]}
    assert {name for name in changed if name in ("settled_at", "due_at")} == times
    assert {name: value for name, value in changed.items() if name not in times} == columns | {
        "lease_token": None,
        "leased_until": None,
    }


def test_no_server_text_can_break_a_settlement(outbox: Outbox) -> None:
    outbox.put()
    [message] = outbox.claim()
    garbage = Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 \0 \udcff" + "x" * 10_000)
    assert outbox.settle([(message, Dead(DeadReason.REJECTED, garbage))]) == 1
    assert len(outbox.row(message.id).last_error) == 500


@pytest.mark.parametrize(("due", "waiting"), [(1, "off"), (2, "on")])
def test_only_a_claim_of_several_messages_waits_for_the_disk(outbox: Outbox, due: int, waiting: str) -> None:
    outbox.put(count=due)
    key = QueueKey(Channel.EMAIL, Priority.HIGH)
    lease = {"lease": A_DAY, "lease_token": uuid4()}
    with outbox.database.connect() as owner, owner.transaction():
        owner.execute("set local synchronous_commit = on")
        parameters = claim_parameters(key, START_OF_INDEX, 10) | lease
        claimed = owner.execute(CLAIM, parameters).fetchall()
        assert len(claimed) == due
        assert owner.execute("show synchronous_commit").fetchone() == (waiting,)


def test_an_old_message_that_is_due_now_is_claimed(outbox: Outbox) -> None:
    key = QueueKey(Channel.EMAIL, Priority.HIGH)

    async def claim_in_turn(database: ReconnectingConnection) -> list[int]:
        claims = ClaimStore(database, A_DAY)
        found = [len(await claims.claim(key, 2))]
        put_old(outbox, 9, count=3, status="'pending'", settled_at="null")
        found.append(len(await claims.claim(key, 2)))
        found.append(len(await claims.claim(key, 2)))
        return found

    outbox.put()
    assert outbox.with_database(claim_in_turn) == [1, 2, 1]
