"""Block processes at chosen statements in the database, so that a test can end them exactly there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg

from tests.support.databases import Database
from tests.support.eventually import eventually

GATE = 43

WAITS_AT_GATE = (
    "create or replace function wait_at_gate() returns trigger language plpgsql as"
    f" $$ begin perform pg_advisory_xact_lock_shared({GATE}); return new; end $$"
)
AT_A_CLAIM = (
    "create trigger gate before update on outbox_messages for each row"
    " when (new.lease_token is not null) execute function wait_at_gate()"
)
WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s"
    " and wait_event_type = 'Lock'"
)
END = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = 'relay'"
END_SETTLING = END.replace("usename = 'relay'", "application_name = 'outbox-relay settle'")
AT_GATE = (
    "select pid, xact_start from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    " and wait_event = 'advisory'"
)
STILL_RUNS = (
    "select count(*) from pg_stat_activity"
    " where (pid, xact_start) in (select * from unnest(%s::int[], %s::timestamptz[]))"
)
SESSIONS = "select count(*) from pg_stat_activity where datname = current_database() and usename = 'relay'"


@contextmanager
def claims_blocked(database: Database) -> Iterator[None]:
    """Make every claim wait before its commit until the block ends, then wait until those claims finish."""
    with database.connect() as owner:
        owner.execute(WAITS_AT_GATE)
        owner.execute(AT_A_CLAIM)
        owner.execute("select pg_advisory_lock(%s)", [GATE])
        yield
        waiting = owner.execute(AT_GATE).fetchall()
        owner.execute("select pg_advisory_unlock(%s)", [GATE])
        # Wait before `drop trigger`, which locks the table and its partitions in another order than a claim.
        running = [[row[column] for row in waiting] for column in range(2)]
        eventually(lambda: not _number(owner, STILL_RUNS, running))
        owner.execute("drop trigger gate on outbox_messages")


@contextmanager
def row_locked(database: Database, message_id: UUID) -> Iterator["psycopg.Connection[Any]"]:
    """Lock the message's row until the block ends, so that its settlement waits."""
    with database.connect() as owner, owner.transaction():
        owner.execute("select from outbox_messages where id = %s for update", [message_id])
        yield owner


@contextmanager
def logins_refused(database: Database) -> Iterator[None]:
    """Refuse new sessions of relays until the block ends. Open sessions stay."""
    with database.connect() as owner:
        owner.execute("alter role relay nologin")
        try:
            yield
        finally:
            owner.execute("alter role relay login")


@contextmanager
def settlements_refused(database: Database) -> Iterator[None]:
    """End the relays' settlement sessions and refuse new sessions until the block ends."""
    with logins_refused(database):
        with database.connect() as owner:
            owner.execute(END_SETTLING)
        yield


def wait_until_blocked(database: Database, purpose: str, *, count: int = 1) -> None:
    """Wait until that many relay sessions for the purpose wait for a lock."""
    with database.connect() as owner:
        eventually(lambda: _number(owner, WAITING, [f"outbox-relay {purpose}"]) == count)


def end_sessions(database: Database) -> None:
    """End the sessions of dead relays, as the server does when it notices their end."""
    with database.connect() as owner:
        owner.execute(END)


def wait_until_sessions_end(database: Database) -> None:
    """Wait until the server has finished the last statements of dead relays."""
    with database.connect() as owner:
        eventually(lambda: not _number(owner, SESSIONS))


def _number(owner: "psycopg.Connection[Any]", query: str, parameters: list[Any] | None = None) -> int:
    [(count,)] = owner.execute(query, parameters).fetchall()
    return int(count)
