"""The database's cost per message, counted: neither settled messages nor a backlog raise it."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from bench.testbed import ENQUEUE_MANY
from bench.wal import Cost, cost_per_message
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.outbox import Outbox

BATCH = 100
FEW, MANY = 500, 5_000
COUNT_NOW = "select pg_stat_force_next_flush()"
"""A session's transactions count up to ten seconds late, among those of the relay, unless it asks for it."""
VACUUMING = "select count(*) from pg_stat_activity where backend_type like 'autovacuum %'"
"""Workers, and the launcher, which ends once it has read the setting. Until then, it may start another worker."""


@pytest.fixture(autouse=True)
def _autovacuum_off(outbox: Outbox) -> Iterator[None]:
    """Turn autovacuum off for the whole server, because its writes would count as costs of messages."""
    with outbox.database.connect() as owner:
        owner.execute("alter system set autovacuum = off")
        owner.execute("select pg_reload_conf()")
        try:
            eventually(lambda: outbox.number(VACUUMING) == 0)
            owner.execute(COUNT_NOW)
            yield
        finally:
            owner.execute("alter system reset autovacuum")
            owner.execute("select pg_reload_conf()")


@pytest.fixture
def dead_rows_stay(outbox: Outbox) -> Iterator[Outbox]:
    """Hold a transaction open, so that neither vacuum nor claims remove dead rows and index entries."""
    with outbox.database.connect() as owner, old_transaction(owner.info.dsn):
        yield outbox


@contextmanager
def old_transaction(dsn: str) -> Iterator[None]:
    """Hold a transaction open with a snapshot of the current database."""
    with psycopg.connect(dsn) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("select count(*) from users")
        yield
        old.rollback()


def test_claiming_and_settling_write_two_rows_and_less_than_800_bytes(outbox: Outbox) -> None:
    cost = handled(outbox, put=MANY, messages=FEW)
    assert cost.wal_bytes < 800
    assert cost.rows_written == 2
    assert cost.transactions <= 2 / BATCH + 10 / FEW


def test_dead_rows_of_earlier_messages_do_not_raise_the_cost(dead_rows_stay: Outbox) -> None:
    few = handled(dead_rows_stay, put=FEW, messages=FEW)
    assert_not_more_expensive(handled(dead_rows_stay, put=MANY, messages=MANY), few)


def test_a_backlog_does_not_raise_the_cost(outbox: Outbox) -> None:
    alone = handled(outbox, put=FEW, messages=FEW)
    assert_not_more_expensive(handled(outbox, put=MANY, messages=FEW), alone)


def handled(outbox: Outbox, *, messages: int, put: int = 0) -> Cost:
    database: Database = outbox.database
    with database.connect() as owner:
        if put:
            owner.execute(ENQUEUE_MANY, {"key_id": "k", "count": put, "hours_late": 1})
        owner.execute(COUNT_NOW)
    return cost_per_message(database.owner_url, database.relay_url, messages, BATCH)


def assert_not_more_expensive(later: Cost, earlier: Cost) -> None:
    assert later.transactions <= 1.2 * earlier.transactions
    assert later.rows_written == earlier.rows_written
    assert later.wal_bytes <= 1.3 * earlier.wal_bytes
    assert later.index_entries_read <= 2 * earlier.index_entries_read
