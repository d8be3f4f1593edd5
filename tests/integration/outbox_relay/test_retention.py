"""Old data is deleted, data still needed stays, and no process waits for either."""

from uuid import UUID

import psycopg
import pytest
from structlog.testing import capture_logs

from shared.db.connection_settings import driver_url
from tests.support.maintenance import has_partition, maintenance_on, one_turn, partition_of, put_old, turn
from tests.support.outbox import Outbox

PENDING = {"status": "'pending'", "settled_at": "null"}
MESSAGES = "select count(*) from outbox_messages"
ATTEMPTS = "select count(*) from delivery_attempts"
END_LEASE = "update leader_lease set leased_until = now()"
ACTIONS = "select count(*) from operator_actions"


def test_a_partition_is_dropped_once_its_last_moment_is_past_retention(outbox: Outbox) -> None:
    for days in (10, 17, 30):
        put_old(outbox, days)
    turn(maintenance_on(outbox, RELAY_RETENTION_DAYS="10"))
    assert [has_partition(outbox, days) for days in (0, 10, 17, 30)] == [True, True, False, False]
    assert outbox.number(MESSAGES) == 1


def test_with_unlimited_retention_nothing_is_dropped(outbox: Outbox) -> None:
    put_old(outbox, 4000)
    turn(maintenance_on(outbox, RELAY_RETENTION_DAYS="0"))
    assert outbox.number(MESSAGES) == 1


def test_an_unsettled_message_keeps_its_partition_but_not_its_settled_rows(outbox: Outbox) -> None:
    [stuck] = put_old(outbox, 50, **PENDING)
    put_old(outbox, 50, count=20)
    maintenance = maintenance_on(outbox, RELAY_RETENTION_DAYS="10")
    turn(maintenance)
    assert outbox.execute("select id, tableoid::regclass::text from outbox_messages") == [
        (stuck, partition_of(outbox, 50))
    ]
    outbox.execute("update outbox_messages set status = 'sent', settled_at = now()")
    turn(maintenance)
    assert not has_partition(outbox, 50)


def test_rows_from_a_wrong_clock_are_pruned_by_their_settlement_time(outbox: Outbox) -> None:
    young, _old = (into_default_partition(outbox, days=days) for days in (9, 11))
    pending = into_default_partition(outbox, days=11, **PENDING)
    turn(maintenance_on(outbox, RELAY_RETENTION_DAYS="10"))
    assert outbox.execute("select id from outbox_messages order by created_at") == [(young,), (pending,)]


def test_attempts_are_deleted_with_their_message(outbox: Outbox) -> None:
    [stuck] = put_old(outbox, 50, **PENDING)
    [gone] = put_old(outbox, 60)
    [young] = outbox.put()
    for message_id, days in ((stuck, 50), (gone, 60), (gone, 60), (young, 0)):
        outbox.execute(
            "insert into delivery_attempts (message_id, attempt, outcome, ended_at)"
            " values (%s, 1, 'retry', now() - %s * interval '1 day')",
            message_id,
            days,
        )
    turn(maintenance_on(outbox, RELAY_RETENTION_DAYS="10"))
    assert outbox.execute("select message_id from delivery_attempts order by id") == [(stuck,), (young,)]


def test_audit_rows_outlive_their_messages(outbox: Outbox) -> None:
    for days in (364, 366):
        outbox.execute(
            "insert into operator_actions (operator, action, message_id, reason, before, acted_at)"
            " values ('ada', 'requeue', gen_random_uuid(), 'mended', '{}', now() - %s * interval '1 day')",
            days,
        )
    turn(maintenance_on(outbox))
    assert outbox.number(ACTIONS) == 1


@pytest.mark.parametrize(
    "call",
    [
        "signpost_drop_partition(0)",
        "signpost_prune_undropped_messages(0, 100)",
        "signpost_prune_attempts(0, 100)",
        "signpost_prune_users(0, 100)",
        "signpost_prune_organizations(0, 100)",
        "signpost_prune_actions(89, 100)",
    ],
)
def test_no_relay_can_go_below_the_minimum_retention(outbox: Outbox, call: str) -> None:
    with psycopg.connect(driver_url(outbox.database.relay_url)) as relay, pytest.raises(psycopg.DataError):
        relay.execute(f"select {call}")


def test_a_call_deletes_no_more_than_its_batch(outbox: Outbox) -> None:
    put_old(outbox, 50, **PENDING)
    put_old(outbox, 50, count=7)
    put_old(outbox, 60, **PENDING)
    put_old(outbox, 60, count=3)
    calls = [outbox.number("select signpost_prune_undropped_messages(10, 4)") for _ in range(4)]
    assert calls == [4, 4, 2, 0]


@pytest.mark.parametrize("held", ["outbox_messages", "its partition"])
def test_a_long_transaction_delays_a_drop_and_blocks_no_claim(outbox: Outbox, held: str) -> None:
    outbox.make_partitions()
    put_old(outbox, 50)
    outbox.put()
    maintenance = maintenance_on(outbox, RELAY_RETENTION_DAYS="10")
    with outbox.database.connect() as reader, capture_logs() as logged:
        reader.execute("begin")
        reader.execute(f"select from {held.replace('its partition', partition_of(outbox, 50))}")
        turn(maintenance)
        turn(maintenance)
        assert len(outbox.claim()) == 1
    [warning] = [line for line in logged if line["event"] == "maintenance postponed"]
    assert (warning["partition"], warning["sqlstate"]) == (partition_of(outbox, 50), "55P03")
    one_turn(maintenance)
    assert not has_partition(outbox, 50)


def test_a_completed_step_pauses_for_a_few_rounds(outbox: Outbox) -> None:
    maintenance = maintenance_on(outbox, RELAY_RETENTION_DAYS="10")
    one_turn(maintenance)
    put_old(outbox, 50)
    one_turn(maintenance)
    assert has_partition(outbox, 50)
    turn(maintenance)
    assert not has_partition(outbox, 50)


def test_a_new_leader_starts_with_all_steps(outbox: Outbox) -> None:
    maintenance, other = (maintenance_on(outbox, RELAY_RETENTION_DAYS="10") for _ in range(2))
    one_turn(maintenance)
    outbox.execute(END_LEASE)
    one_turn(other)
    put_old(outbox, 50)
    one_turn(maintenance)
    assert has_partition(outbox, 50)
    outbox.execute(END_LEASE)
    one_turn(maintenance)
    assert not has_partition(outbox, 50)


def test_a_locked_partition_does_not_prevent_other_drops(outbox: Outbox) -> None:
    put_old(outbox, 50)
    put_old(outbox, 60)
    with outbox.database.connect() as reader:
        reader.execute("begin")
        reader.execute(f"select from {partition_of(outbox, 60)}")
        turn(maintenance_on(outbox, RELAY_RETENTION_DAYS="10"))
        assert (has_partition(outbox, 50), has_partition(outbox, 60)) == (False, True)


def into_default_partition(outbox: Outbox, days: int, **columns: str) -> UUID:
    """Insert a message sent that many days ago by a relay whose clock was years ahead."""
    [message_id] = put_old(outbox, days, **columns)
    [(misplaced,)] = outbox.execute(
        "update outbox_messages set id = overlay(id::text placing 'ff' from 1)::uuid where id = %s returning id",
        message_id,
    )
    return UUID(str(misplaced))
