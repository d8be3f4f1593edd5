import psycopg
import pytest
from structlog.testing import capture_logs

from tests.support.maintenance import has_partition, maintenance_on, partition_of, turn
from tests.support.outbox import Outbox

SECONDS_LEFT = "select round(extract(epoch from leased_until - now())) from leader_lease"


def test_only_the_relay_with_the_lease_does_maintenance(outbox: Outbox) -> None:
    holder, other = maintenance_on(outbox), maintenance_on(outbox)
    turn(holder)
    lose_a_partition(outbox)
    turn(other)
    assert not has_partition(outbox, days=-5)
    turn(holder)
    assert has_partition(outbox, days=-5)


def test_another_relay_takes_over_an_expired_lease(outbox: Outbox) -> None:
    holder, other = maintenance_on(outbox), maintenance_on(outbox)
    turn(holder)
    lose_a_partition(outbox)
    outbox.execute("update leader_lease set leased_until = now()")
    turn(other)
    assert has_partition(outbox, days=-5)
    with capture_logs() as logged:
        turn(holder)
    assert [line["event"] for line in logged] == ["maintenance leadership lost"]


def test_each_round_renews_the_lease_which_outlasts_two_missed_rounds(outbox: Outbox) -> None:
    holder = maintenance_on(outbox, RELAY_MAINTENANCE_SECONDS="600")
    turn(holder)
    outbox.execute("update leader_lease set leased_until = now() + interval '1 second'")
    turn(holder)
    assert 1700 < outbox.number(SECONDS_LEFT) <= 1800


def test_a_failed_step_is_logged_once_and_blocks_no_other(outbox: Outbox) -> None:
    outbox.execute("drop function signpost_drop_partition(integer)")
    maintenance = maintenance_on(outbox)
    lose_a_partition(outbox)
    outbox.execute(
        "insert into operator_actions (operator, action, message_id, reason, before, acted_at)"
        " values ('ada', 'requeue', gen_random_uuid(), 'mended', '{}', now() - interval '2 years')"
    )
    with capture_logs() as logged:
        turn(maintenance)
        turn(maintenance)
    [failed] = [line for line in logged if line["event"] == "maintenance failed"]
    assert (failed["work"], failed["sqlstate"]) == ("partitions_dropped", "42883")
    assert has_partition(outbox, days=-5)
    assert outbox.number("select count(*) from operator_actions") == 0


def test_a_lost_database_is_logged_once_and_found_again(outbox: Outbox) -> None:
    maintenance = maintenance_on(outbox)
    outbox.execute(f"alter database {outbox.database.name} connection limit 0")
    with capture_logs() as logged:
        turn(maintenance)
        turn(maintenance)
    assert [line["event"] for line in logged] == ["maintenance failed"]
    outbox.execute(f"alter database {outbox.database.name} connection limit -1")
    turn(maintenance)
    assert outbox.number(SECONDS_LEFT) > 0


def test_the_table_holds_a_single_lease(outbox: Outbox) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        outbox.execute("insert into leader_lease (id) values (2)")


def lose_a_partition(outbox: Outbox) -> None:
    outbox.execute(f"drop table {partition_of(outbox, days=-5)}")
