"""How many rows the console's queries read."""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from devstack.cluster import Cluster
from operator_console.filters import MessageFilter
from operator_console.queries import messages
from operator_console.queries.causes import list_causes
from operator_console.queries.messages import list_messages, show_message
from operator_console.queries.stats import stats
from shared.db.engine import create_database_engine
from shared.vocabulary import Channel, DeadReason, Status
from tests.support.databases import fresh_database
from tests.support.operators import put_dead
from tests.support.outbox import Outbox
from tests.support.query_plans import Reading, readings_of

SENT, DEAD, PAGE = 12_000, 3_000, 20
PARTITIONS = 9
DEAD_ONES = MessageFilter(status=Status.DEAD)
AUDIT_ROWS = """
insert into operator_actions (operator, action, reason, before, message_id, message_ids, states)
select 'ada', 'requeue', 'mended', '{}', case when number > 300 then gen_random_uuid() end, step.ids, step.states
  from generate_series(1, 3000) as number
  left join lateral (select array_agg(gen_random_uuid()) as ids, jsonb_agg('{}'::jsonb) as states
                       from generate_series(1, 20 + number * 0)) as step on number <= 300
"""
"""Many actions on other messages: alone, and as steps of bulk actions."""


@pytest.fixture(scope="module")
def outbox(cluster: Cluster) -> Iterator[Outbox]:
    """One outbox for all tests, which only read it."""
    with fresh_database(cluster) as database:
        outbox = Outbox(database)
        outbox.put(count=SENT, status="'sent'", settled_at="now()")
        for error in ("550 5.1.1 <ada@example.org>: no such user", "552 5.2.2 mailbox full", "554 5.7.1 refused"):
            put_dead(outbox, count=DEAD // 3, last_error=f"'{error}'", provider="'smtp:mx:25'")
        outbox.put(count=50)
        outbox.execute(AUDIT_ROWS)
        outbox.execute("vacuum analyze")
        yield outbox


@pytest.fixture(scope="module")
def engine(outbox: Outbox) -> Iterator[Engine]:
    engine = create_database_engine(outbox.database.console_url, application_name="test", pool_size=2)
    yield engine
    engine.dispose()


def listing(engine: Engine, wanted: MessageFilter, **where: object) -> Reading:
    """Return the reading of a list's first statement. The second only finds the end of a short page."""
    return readings_of(engine, partial(list_messages, wanted=wanted, limit=PAGE, **where))[0]


@pytest.mark.parametrize("wanted", [MessageFilter(), DEAD_ONES, MessageFilter(dead_reason=DeadReason.REJECTED)])
def test_a_list_reads_only_the_rows_it_shows(engine: Engine, wanted: MessageFilter) -> None:
    reading = listing(engine, wanted)
    assert reading.rows <= PAGE + 1 + PARTITIONS
    assert reading.scans <= {"Index Scan", "Index Only Scan"}


def test_a_page_of_one_cause_reads_only_that_cause(engine: Engine) -> None:
    with Session(engine) as session:
        cause = list_causes(session).causes[0].cause
    # An index entry and a row for each message, if the planner prefers to sort them.
    assert listing(engine, MessageFilter(cause=cause)).rows <= 2 * DEAD // 3


def test_the_last_page_reads_no_more_than_the_first(engine: Engine) -> None:
    with Session(engine) as session:
        ids = [message.id for message in list_messages(session, DEAD_ONES, limit=DEAD).messages]
    first, last = listing(engine, DEAD_ONES), listing(engine, DEAD_ONES, cursor=ids[-PAGE - 2])
    assert len(ids) == DEAD
    assert last.rows <= first.rows


def test_a_list_without_matches_stops_at_the_scan_limit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_ROWS_SCANNED", 100)
    readings = readings_of(engine, partial(list_messages, wanted=MessageFilter(channel=Channel.SMS)))
    assert max(reading.rows for reading in readings) <= 100 + 1 + PARTITIONS


def test_causes_are_counted_by_an_index_only_scan(engine: Engine) -> None:
    _, reading, *_ = readings_of(engine, list_causes)
    assert reading.scans == {"Index Only Scan"}
    assert reading.rows == DEAD


def test_stats_read_no_sent_message(engine: Engine) -> None:
    readings = readings_of(engine, stats)
    assert max(reading.rows for reading in readings) < SENT


def test_one_message_is_found_by_its_key(engine: Engine) -> None:
    with Session(engine) as session:
        [newest, *_] = list_messages(session, DEAD_ONES, limit=1).messages
    readings = readings_of(engine, partial(show_message, message_id=newest.id))
    assert sum(reading.rows for reading in readings) <= 1


def test_the_longest_reply_fits_the_index(outbox: Outbox) -> None:
    # Four bytes per character, and not compressible.
    reply = "".join(chr(0x1F000 + (number * number * 7919) % 65_000) for number in range(500))
    ids = put_dead(outbox, last_error="'" + reply + "'", provider="'smtp:" + "mx.example.org" * 18 + ":25'")
    outbox.execute("delete from outbox_messages where id = %s", ids[0])
