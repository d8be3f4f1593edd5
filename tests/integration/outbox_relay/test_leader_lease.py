import psycopg
import pytest
from structlog.testing import capture_logs

from tests.support.outbox import Outbox
from tests.support.upkeep import has_partition, partition_of, turn, upkeep_on

SECONDS_LEFT = "select round(extract(epoch from leased_until - now())) from upkeep_lease"


def test_the_upkeep_is_done_by_one_relay_while_its_lease_lasts(outbox: Outbox) -> None:
    holder, other = upkeep_on(outbox), upkeep_on(outbox)
    turn(holder)
    lose_a_partition(outbox)
    turn(other)
    assert not has_partition(outbox, days=-5)
    turn(holder)
    assert has_partition(outbox, days=-5)


def test_a_lease_that_ran_out_is_taken_over(outbox: Outbox) -> None:
    holder, other = upkeep_on(outbox), upkeep_on(outbox)
    turn(holder)
    lose_a_partition(outbox)
    outbox.execute("update upkeep_lease set leased_until = now()")
    turn(other)
    assert has_partition(outbox, days=-5)
    with capture_logs() as logged:
        turn(holder)
    assert [line["event"] for line in logged] == ["upkeep lease lost"]


def test_the_lease_is_renewed_with_each_turn_and_outlasts_two_that_are_missed(outbox: Outbox) -> None:
    holder = upkeep_on(outbox, RELAY_UPKEEP_SECONDS="600")
    turn(holder)
    outbox.execute("update upkeep_lease set leased_until = now() + interval '1 second'")
    turn(holder)
    assert 1700 < outbox.number(SECONDS_LEFT) <= 1800


def test_a_step_that_fails_is_said_once_and_keeps_no_other_from_its_turn(outbox: Outbox) -> None:
    outbox.execute("drop function signpost_drop_partition(integer)")
    upkeep = upkeep_on(outbox)
    lose_a_partition(outbox)
    outbox.execute(
        "insert into operator_actions (operator, action, message_id, reason, before, acted_at)"
        " values ('ada', 'requeue', gen_random_uuid(), 'mended', '{}', now() - interval '2 years')"
    )
    with capture_logs() as logged:
        turn(upkeep)
        turn(upkeep)
    [failed] = [line for line in logged if line["event"] == "upkeep failed"]
    assert (failed["work"], failed["sqlstate"]) == ("partitions_dropped", "42883")
    assert has_partition(outbox, days=-5)
    assert outbox.number("select count(*) from operator_actions") == 0


def test_a_database_that_is_away_is_said_once_and_found_again(outbox: Outbox) -> None:
    upkeep = upkeep_on(outbox)
    outbox.execute(f"alter database {outbox.database.name} connection limit 0")
    with capture_logs() as logged:
        turn(upkeep)
        turn(upkeep)
    assert [line["event"] for line in logged] == ["upkeep failed"]
    outbox.execute(f"alter database {outbox.database.name} connection limit -1")
    turn(upkeep)
    assert outbox.number(SECONDS_LEFT) > 0


def test_there_is_one_lease_and_no_other(outbox: Outbox) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        outbox.execute("insert into upkeep_lease (id) values (2)")


def lose_a_partition(outbox: Outbox) -> None:
    outbox.execute(f"drop table {partition_of(outbox, days=-5)}")
