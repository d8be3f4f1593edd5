"""What a registration keeps on the disk: its user, token and message, pending, settled, and cleaned up after."""

from dataclasses import dataclass

import psycopg

from bench.ground import Ground
from bench.outbox_costs import BATCH, PUT, cost_per_message

ACCOUNTS = """
with registered as (
    insert into users (id, email, email_canonical, password_hash, full_name, locale)
    select user_id, recipient, recipient, '$argon2id$v=19$m=31744,t=4,p=1$' || repeat('c', 66), payload ->> 'name',
           locale
      from outbox_messages)
insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at)
select token_id, user_id, 'activation', 'email', 'k', 5, expires_at from outbox_messages
"""
TABLES = ("users", "tokens")
SIZE = "select sum(pg_total_relation_size(relid)) from pg_partition_tree('outbox_messages') where isleaf"


@dataclass(frozen=True)
class Bytes:
    """What one of many keeps, indexes included."""

    account: float
    pending: float
    settled: float
    vacuumed: float


def disk_bytes(ours: Ground, messages: int) -> Bytes:
    """Register so many, claim and settle their messages, and look at the sizes; the WAL is not in them."""
    ours.empty()
    with ours.connect() as owner:
        before = _outbox(owner)
        owner.execute(PUT, [messages])
        pending = _outbox(owner) - before
        owner.execute(ACCOUNTS)
        cost_per_message(ours.url(), ours.url("relay"), messages, BATCH)
        settled = _outbox(owner) - before
        owner.execute("vacuum (full) outbox_messages")
        account = sum(_number(owner, f"select pg_total_relation_size('{table}')") for table in TABLES)
        return Bytes(*(size / messages for size in (account, pending, settled, _outbox(owner) - before)))


def _outbox(owner: psycopg.Connection) -> float:
    return _number(owner, SIZE)


def _number(owner: psycopg.Connection, query: str) -> float:
    row = owner.execute(query.encode()).fetchone()
    return float(row[0]) if row else 0.0
