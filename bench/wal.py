"""Count the database's work for claiming and settling a message: transactions, rows, index entries and WAL."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from bench.outbox_client import OutboxClient
from bench.report import WAL_BYTES, Report
from bench.testbed import Testbed
from shared.db.connection_settings import driver_url

MESSAGES, QUICK_MESSAGES, BATCH = 10_000, 3_000, 500
COUNTERS = """
select (select xact_commit from pg_stat_database where datname = current_database()),
       (select sum(n_tup_upd) from pg_stat_user_tables where relname like 'outbox_messages%'),
       (select sum(idx_tup_read) from pg_stat_user_indexes where relname like 'outbox_messages%'),
       pg_current_wal_insert_lsn() - '0/0'
"""


@dataclass(frozen=True)
class Cost:
    """The average cost of one message."""

    transactions: float
    rows_written: float
    index_entries_read: float
    wal_bytes: float


def wal(testbed: Testbed, *, quick: bool) -> Report:
    """Count the WAL of claiming and settling, without full page images, and right after a checkpoint."""
    found = []
    for full_page_writes in ("off", "on"):
        testbed.truncate()
        messages = QUICK_MESSAGES if quick else MESSAGES
        testbed.enqueue_many(messages, hours_late=1)
        with testbed.connect() as owner:
            owner.execute("vacuum analyze outbox_messages")
            with _full_page_writes(owner, full_page_writes):
                found.append(cost_per_message(testbed.url(), testbed.url("relay"), messages, BATCH).wal_bytes)
    return dict(zip((WAL_BYTES, "  the same, right after a checkpoint"), found, strict=True))


def cost_per_message(owner_url: str, relay_url: str, messages: int, batch: int) -> Cost:
    """Claim and settle this many due messages, one batch at a time; return the average cost of each."""
    with psycopg.connect(driver_url(owner_url), autocommit=True) as owner:
        before = _counters(owner)
        asyncio.run(_claim_and_settle(relay_url, messages, batch))
        after = _counters(owner)
    return Cost(*((late - early) / messages for early, late in zip(before, after, strict=True)))


async def _claim_and_settle(relay_url: str, messages: int, batch: int) -> None:
    client = OutboxClient(relay_url)
    for start in range(0, messages, batch):
        await client.settle(await client.claim(min(batch, messages - start)))
    await client.close()


@contextmanager
def _full_page_writes(owner: psycopg.Connection, setting: str) -> Iterator[None]:
    owner.execute(f"alter system set full_page_writes = {setting}")
    owner.execute("select pg_reload_conf()")
    owner.execute("checkpoint")
    try:
        yield
    finally:
        owner.execute("alter system reset full_page_writes")
        owner.execute("select pg_reload_conf()")


def _counters(owner: psycopg.Connection) -> tuple[float, ...]:
    [counters] = owner.execute(COUNTERS).fetchall()
    return tuple(float(counter or 0) for counter in counters)
