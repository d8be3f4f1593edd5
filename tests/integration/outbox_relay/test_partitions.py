from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from structlog.testing import capture_logs

from api_service.transactions import in_transaction
from shared.db.connection_settings import driver_url
from shared.db.engine import engine_url, is_database_unavailable, was_rolled_back
from tests.support.api import api_on
from tests.support.eventually import eventually
from tests.support.maintenance import has_partition, maintenance_on, one_turn, partition_of
from tests.support.outbox import Outbox

MOST_MOVED = 20_000
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
THIS_WEEK = "signpost_make_partition(date_trunc('week', now(), 'UTC'))"
OF_A_CLOCK_AHEAD = (
    "insert into outbox_messages (id, template, channel, recipient, locale, payload, max_attempts)"
    " values (signpost_uuid7_floor(now() + interval '14 days'),"
    " 'activation', 'email', 'ada@example.org', 'en', '{}', 8)"
)


def test_a_row_from_a_wrong_clock_does_not_prevent_a_new_partition(outbox: Outbox) -> None:
    outbox.make_partitions()
    partition = partition_of(outbox, -14)
    outbox.execute(f"drop table {partition}")
    [message_id] = outbox.put()
    outbox.execute(
        "update outbox_messages set id = signpost_uuid7_floor(now() + interval '14 days') where id = %s", message_id
    )
    assert outbox.execute("select count(*) from outbox_messages_default") == [(1,)]
    assert outbox.execute("select signpost_make_partitions(2)") == [(1,)]
    assert outbox.execute(f"select count(*) from {partition}") == [(1,)]
    assert outbox.execute("select count(*) from outbox_messages_default") == [(0,)]


def test_a_long_reader_delays_only_the_partition(outbox: Outbox) -> None:
    outbox.make_partitions()
    with outbox.database.connect() as reader:
        reader.execute("begin")
        reader.execute("select count(*) from outbox_messages")
        assert outbox.execute("select signpost_make_partitions(3)") == [(0,)]
    assert outbox.execute("select signpost_make_partitions(3)") == [(1,)]


def without_this_week(outbox: Outbox) -> None:
    """Drop this week's partition, as if no relay had created it in time."""
    outbox.make_partitions()
    outbox.execute(f"drop table {partition_of(outbox, 0)}")


def test_a_large_week_stays_in_the_default_partition_and_later_weeks_are_created(
    outbox: Outbox,
) -> None:
    without_this_week(outbox)
    next_week, count = partition_of(outbox, -7), MOST_MOVED + 1
    outbox.execute(f"drop table {next_week}")
    outbox.put(count=count)
    maintenance = maintenance_on(outbox)
    with capture_logs() as logged:
        one_turn(maintenance)
    [warning] = [line for line in logged if line["event"] == "maintenance postponed"]
    assert (warning["partition"], warning["sqlstate"]) == (partition_of(outbox, 0), "54000")
    assert warning["cause"] == "too many messages of that week are in the default partition"
    assert (has_partition(outbox, 0), has_partition(outbox, -7)) == (False, True)
    outbox.execute("delete from outbox_messages_default where id = any(array(select id from outbox_messages limit 1))")
    assert outbox.execute("select signpost_make_partitions(2)") == [(1,)]
    assert outbox.number("select count(*) from outbox_messages_default") == 0
    assert outbox.number("select count(*) from outbox_messages") == count - 1


def test_a_week_whose_partition_cannot_be_created_is_reported(outbox: Outbox) -> None:
    without_this_week(outbox)
    with outbox.database.connect() as reader, capture_logs() as logged:
        reader.execute("begin")
        reader.execute("select count(*) from outbox_messages_default")
        one_turn(maintenance_on(outbox))
    [warning] = [line for line in logged if line["event"] == "maintenance postponed"]
    assert (warning["partition"], warning["sqlstate"]) == (partition_of(outbox, 0), "55P03")
    assert warning["cause"] == "somebody has the table locked"


def test_a_registration_waits_while_this_weeks_partition_is_created(outbox: Outbox) -> None:
    without_this_week(outbox)
    with (
        api_on(outbox.database) as api,
        ThreadPoolExecutor(1) as someone,
        psycopg.connect(driver_url(outbox.database.owner_url)) as making,
    ):
        making.execute(f"select {THIS_WEEK}")
        registering = someone.submit(api.register, email="ada@example.org")
        eventually(lambda: outbox.number(WAITING) == 1)
        making.commit()
        assert registering.result(30).status_code == 202
    assert outbox.number(f"select count(*) from {partition_of(outbox, 0)}") == 1


def test_an_insert_into_the_default_partition_is_retried_after_its_week_was_created(outbox: Outbox) -> None:
    outbox.make_partitions()
    outbox.execute(f"drop table {partition_of(outbox, -14)}")
    engine = create_engine(engine_url(outbox.database.api_url))
    tried: list[BaseException | None] = []

    def work(session: Session) -> None:
        try:
            session.execute(text(OF_A_CLOCK_AHEAD))
        except DBAPIError as error:
            tried.append(error)
            raise
        tried.append(None)

    with ThreadPoolExecutor(1) as someone, psycopg.connect(driver_url(outbox.database.owner_url)) as making:
        making.execute("select signpost_make_partition(date_trunc('week', now(), 'UTC') + interval '336 hours')")
        adding = someone.submit(in_transaction, sessionmaker(engine), work)
        eventually(lambda: outbox.number(WAITING) == 1)
        making.commit()
        adding.result(30)
    engine.dispose()
    [misrouted, done] = tried
    assert (done, misrouted and is_database_unavailable(misrouted)) == (None, True)
    assert outbox.number(f"select count(*) from {partition_of(outbox, -14)}") == 1


def test_a_violated_constraint_is_a_permanent_error(outbox: Outbox) -> None:
    engine = create_engine(engine_url(outbox.database.api_url))
    with pytest.raises(DBAPIError) as broken, engine.begin() as connection:
        connection.execute(text(OF_A_CLOCK_AHEAD.replace("'email'", "'pigeon'")))
    engine.dispose()
    assert (was_rolled_back(broken.value), is_database_unavailable(broken.value)) == (False, False)
