from tests.support.outbox import Outbox

THREE_DAYS_ON = "to_char((now() + interval '3 days') at time zone 'UTC', 'YYYYMMDD')"


def test_a_row_of_a_wrong_clock_keeps_no_partition_from_being_made(outbox: Outbox) -> None:
    outbox.make_days_partitions()
    [(partition,)] = outbox.execute(f"select 'outbox_messages_' || {THREE_DAYS_ON}")
    outbox.execute(f"drop table {partition}")
    [message_id] = outbox.put()
    outbox.execute(
        "update outbox_messages set id = signpost_uuid7_floor(now() + interval '3 days') where id = %s", message_id
    )
    assert outbox.execute("select count(*) from outbox_messages_default") == [(1,)]
    assert outbox.execute("select signpost_make_partitions(7)") == [(1,)]
    assert outbox.execute(f"select count(*) from {partition}") == [(1,)]
    assert outbox.execute("select count(*) from outbox_messages_default") == [(0,)]


def test_a_long_reader_delays_a_partition_and_nobody_else(outbox: Outbox) -> None:
    outbox.make_days_partitions()
    with outbox.database.connect() as reader:
        reader.execute("begin")
        reader.execute("select count(*) from outbox_messages")
        assert outbox.execute("select signpost_make_partitions(8)") == [(0,)]
    assert outbox.execute("select signpost_make_partitions(8)") == [(1,)]
