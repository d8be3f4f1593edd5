"""Places in the database where a process can be made to wait, so that a test can end it right there."""

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
GOES_ON = (
    "select count(*) from pg_stat_activity"
    " where (pid, xact_start) in (select * from unnest(%s::int[], %s::timestamptz[]))"
)
SESSIONS = "select count(*) from pg_stat_activity where datname = current_database() and usename = 'relay'"


@contextmanager
def gate_at_claims(database: Database) -> Iterator[None]:
    """Make every claim wait, its rows chosen and nothing committed, until the block ends; then let those be done."""
    with database.connect() as owner:
        owner.execute(WAITS_AT_GATE)
        owner.execute(AT_A_CLAIM)
        owner.execute("select pg_advisory_lock(%s)", [GATE])
        yield
        held_up = owner.execute(AT_GATE).fetchall()
        owner.execute("select pg_advisory_unlock(%s)", [GATE])
        # Before the trigger goes: to drop it locks the table and its partitions, in another order than a claim does.
        going_on = [[row[column] for row in held_up] for column in range(2)]
        eventually(lambda: not _number(owner, GOES_ON, going_on))
        owner.execute("drop trigger gate on outbox_messages")


@contextmanager
def row_held(database: Database, message_id: UUID) -> Iterator["psycopg.Connection[Any]"]:
    """Make whoever settles that message wait until the block ends."""
    with database.connect() as owner, owner.transaction():
        owner.execute("select from outbox_messages where id = %s for update", [message_id])
        yield owner


@contextmanager
def logins_refused(database: Database) -> Iterator[None]:
    """Let relays keep the sessions that they have and open none, until the block ends."""
    with database.connect() as owner:
        owner.execute("alter role relay nologin")
        try:
            yield
        finally:
            owner.execute("alter role relay login")


@contextmanager
def settles_refused(database: Database) -> Iterator[None]:
    """Take away relays' sessions for settling, and let them open no other, until the block ends."""
    with logins_refused(database):
        with database.connect() as owner:
            owner.execute(END_SETTLING)
        yield


def wait_until_held_up(database: Database, purpose: str, *, count: int = 1) -> None:
    """Return when so many of the relays' sessions for that purpose stand at a gate."""
    with database.connect() as owner:
        eventually(lambda: _number(owner, WAITING, [f"outbox-relay {purpose}"]) == count)


def end_sessions(database: Database) -> None:
    """Roll back what relays that are gone have left running, as the server does when it sees that they are."""
    with database.connect() as owner:
        owner.execute(END)


def wait_until_sessions_are_gone(database: Database) -> None:
    """Return when the server has finished what relays that are gone had asked of it."""
    with database.connect() as owner:
        eventually(lambda: not _number(owner, SESSIONS))


def _number(owner: "psycopg.Connection[Any]", query: str, parameters: list[Any] | None = None) -> int:
    [(count,)] = owner.execute(query, parameters).fetchall()
    return int(count)
