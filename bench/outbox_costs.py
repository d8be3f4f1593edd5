"""What a message costs the database from its claim to its settle: statements, rows, index entries, WAL.

Counted, not timed, so that what else the machine does plays no part.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import timedelta

import psycopg
from psycopg import AsyncConnection

from bench.ground import Ground
from bench.states import state_database, with_pending
from outbox_relay.claims import Claims
from outbox_relay.database import Lifeline
from outbox_relay.messages import LaneKey
from outbox_relay.outcomes import Sent
from outbox_relay.settles import Settlement, Settles
from shared.database import driver_url
from shared.vocabulary import Channel, Urgency

CODES = LaneKey(Channel.EMAIL, Urgency.CODE)
LEASE = timedelta(minutes=1)
SENT = Sent("smtp:mail.example.org:587", "2.0.0 Ok: queued as 4XyZ1234")

# Due for an hour: no claim looks again for what may have been committed lately, which would depend on the time.
PUT = """
insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id, max_attempts, due_at,
                             expires_at)
select overlay(id placing '7' from 15)::uuid, 'activation', 'email', 'user' || n || '@example.org', 'en',
       jsonb_build_object('name', 'User ' || n, 'key_id', 'k'), gen_random_uuid(), gen_random_uuid(), 200,
       now() - interval '1 hour', now() + interval '1 day'
  from generate_series(1, %s) as n,
       lateral (select overlay(gen_random_uuid()::text placing left(signpost_uuid7_floor(clock_timestamp())::text, 13)
                               from 1) as id where n > 0) as made
"""
COUNTERS = """
select (select xact_commit from pg_stat_database where datname = current_database()),
       (select sum(n_tup_upd) from pg_stat_user_tables where relname like 'outbox_messages%'),
       (select sum(idx_tup_read) from pg_stat_user_indexes where relname like 'outbox_messages%'),
       pg_current_wal_insert_lsn() - '0/0'
"""


BATCH = 500
STATE = "state_growth"
FEW = 1_000


@dataclass(frozen=True)
class Cost:
    """What one message costs, on the average."""

    statements: float
    rows_written: float
    index_entries_read: float
    wal_bytes: float


def wal_bytes(ours: Ground, messages: int) -> Iterator[float]:
    """Count the WAL of claiming and settling so many, without whole pages, then with those that follow a checkpoint."""
    for is_written in (False, True):
        ours.empty()
        with ours.connect() as owner:
            owner.execute(PUT, [messages])
            owner.execute("vacuum analyze outbox_messages")
            with full_pages(owner, written=is_written):
                yield cost_per_message(ours.url(), ours.url("relay"), messages, BATCH).wal_bytes


def growth(ours: Ground, many: int, handled: int) -> Cost:
    """Tell by how much a message costs more where many are there than where few are."""
    few = _cost_among(ours, FEW, FEW)
    return ratio(_cost_among(ours, many, handled), few)


def _cost_among(ours: Ground, messages: int, handled: int) -> Cost:
    with (
        state_database(ours, STATE, with_pending(ours, messages)) as owner,
        full_pages(owner, written=False),
    ):
        return cost_per_message(ours.cluster.url(STATE), ours.cluster.url(STATE, "relay"), handled, BATCH)


def cost_per_message(owner_url: str, relay_url: str, messages: int, batch: int) -> Cost:
    """Claim and settle so many of those that are due, a batch at a time; return what each of them cost."""
    with psycopg.connect(driver_url(owner_url), autocommit=True) as owner:
        before = _counted(owner)
        asyncio.run(_handle(relay_url, messages, batch))
        # Reading the counters is one statement; telling them is another.
        after = _counted(owner)
    return Cost(*((late - early) / messages for early, late in zip(before, after, strict=True)))


@contextmanager
def full_pages(owner: psycopg.Connection, *, written: bool) -> Iterator[None]:
    """Have the server write whole pages after a checkpoint or not, beginning with a checkpoint."""
    owner.execute(f"alter system set full_page_writes = {'on' if written else 'off'}")
    owner.execute("select pg_reload_conf()")
    owner.execute("checkpoint")
    yield
    owner.execute("alter system reset full_page_writes")
    owner.execute("select pg_reload_conf()")


def ratio(larger: Cost, smaller: Cost) -> Cost:
    """Return by how much each cost grew."""
    return Cost(*(one / other for one, other in zip(astuple(larger), astuple(smaller), strict=True)))


async def _handle(relay_url: str, messages: int, batch: int) -> None:
    lifeline = Lifeline(relay_url, "bench")
    claims, settles, left = Claims(lifeline, LEASE), Settles(lifeline), messages
    while left:
        claimed = await claims.claim(CODES, min(batch, left))
        if not claimed:
            raise RuntimeError(f"{left} messages were not there to be claimed")
        await settles.settle([Settlement(message, SENT) for message in claimed])
        left -= len(claimed)
    await lifeline.run(_tell_counters)
    await lifeline.close()


async def _tell_counters(connection: AsyncConnection) -> None:
    """Have the session tell the server what it has counted, which it would do in its own time."""
    await connection.execute("select pg_stat_force_next_flush()")


def _counted(owner: psycopg.Connection) -> tuple[float, ...]:
    [counters] = owner.execute(COUNTERS).fetchall()
    return tuple(float(counter or 0) for counter in counters)
