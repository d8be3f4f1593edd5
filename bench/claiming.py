"""How long a claim takes beside what a busy outbox gathers: settled rows, a backlog, dead tuples.

Each state has a database of its own, and the states take turns claim by claim: what others do on the
machine meets all of them alike. What was claimed is settled before the next turn.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg

from bench.ground import Ground
from bench.relaying import FILL
from devstack.programs import DATABASE
from outbox_relay.claims import Claims
from outbox_relay.database import Lifeline
from outbox_relay.messages import LaneKey
from outbox_relay.outcomes import Sent
from outbox_relay.settles import Settlement, Settles
from shared.database import driver_url
from shared.vocabulary import Channel, Urgency

BATCH = 100
LEASE = timedelta(minutes=1)
WARM_UP = 10
"""Claims not counted: psycopg prepares a statement, and PostgreSQL gives it a generic plan, after five each."""
PAST_DAYS = 15

PAST_PARTITIONS = """
select signpost_make_partition(date_trunc('day', now(), 'UTC') - n * interval '1 day') from generate_series(1, %s) as n
"""
SETTLED_ROWS = """
insert into outbox_messages (id, template, channel, recipient, locale, payload, token_id, max_attempts, attempt,
                             status, provider, created_at, due_at, settled_at)
select overlay(gen_random_uuid()::text placing left(signpost_uuid7_floor(moment)::text, 13) from 1)::uuid,
       'activation', 'email', 'user' || n || '@example.org', 'en', '{"name": "Ada", "key_id": "k"}',
       gen_random_uuid(), 8, 1, 'sent', 'smtp:mail:25', moment, moment, moment
  from generate_series(1, %(rows)s) as n, lateral (select now() - n %% %(days)s * interval '1 day') as day (moment)
"""
# As if claimed and settled one after the other: each message leaves two dead versions and two dead entries in
# the due index.
CLAIMED = """
update outbox_messages set due_at = now() - interval '10 seconds', lease_token = gen_random_uuid(), leased_until = now()
"""
SETTLED = """
update outbox_messages
   set status = 'sent', attempt = 1, settled_at = now(), lease_token = null, leased_until = null
"""


@dataclass(frozen=True)
class Amounts:
    """How much lies in each state, and how many claims are measured there."""

    settled: int
    pending: int
    dead_tuples: int
    claims: int


@dataclass
class State:
    """An outbox in some state, and the milliseconds that claims took in it."""

    name: str
    database: str
    has_backlog: bool = False
    claims: list[float] = field(default_factory=list)
    sweeps: list[float] = field(default_factory=list)


def claim_times(ours: Ground, amounts: Amounts) -> list[State]:
    """Measure claims, and sweeps among them, in each state; the first is empty."""
    ours.empty()
    with ExitStack() as ending:
        states = [ending.enter_context(make(ours, amounts)) for make in (empty, settled, backlog, dead_tuples)]
        asyncio.run(_take_turns(ours, states, amounts.claims))
        return states


@contextmanager
def empty(ours: Ground, _amounts: Amounts) -> Iterator[State]:
    """Have nothing there but what is claimed."""
    with _database(ours, "claims_empty"):
        yield State("empty", "claims_empty")


@contextmanager
def settled(ours: Ground, amounts: Amounts) -> Iterator[State]:
    """Have settled messages of sixteen days, today's among them."""
    with _database(ours, "claims_settled") as connection:
        connection.execute(PAST_PARTITIONS, [PAST_DAYS])
        connection.execute(SETTLED_ROWS, {"rows": amounts.settled, "days": PAST_DAYS + 1})
        connection.execute("vacuum analyze outbox_messages")
        yield State(f"{amounts.settled:,} settled in {PAST_DAYS + 1} partitions", "claims_settled")


@contextmanager
def backlog(ours: Ground, amounts: Amounts) -> Iterator[State]:
    """Have more messages due than the claims take."""
    with _database(ours, "claims_backlog") as connection:
        connection.execute(FILL, ["k", amounts.pending])
        connection.execute("vacuum analyze outbox_messages")
        yield State(f"{amounts.pending:,} pending", "claims_backlog", has_backlog=True)


@contextmanager
def dead_tuples(ours: Ground, amounts: Amounts) -> Iterator[State]:
    """Have an old transaction open, and behind it what no vacuum may take away."""
    with _database(ours, "claims_dead") as connection, psycopg.connect(connection.info.dsn) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("select count(*) from users")
        connection.execute(FILL, ["k", amounts.dead_tuples // 2])
        connection.execute(CLAIMED)
        connection.execute(SETTLED)
        connection.execute("vacuum analyze outbox_messages")
        yield State(f"{amounts.dead_tuples:,} dead tuples behind an old transaction", "claims_dead")
        old.rollback()


@contextmanager
def _database(ours: Ground, name: str) -> Iterator[psycopg.Connection]:
    with ours.connect() as connection:
        connection.execute(f"create database {name} template {DATABASE}")
    try:
        with psycopg.connect(driver_url(ours.cluster.url(name)), autocommit=True) as connection:
            yield connection
    finally:
        with ours.connect() as connection:
            connection.execute(f"drop database {name} with (force)")


@dataclass(frozen=True)
class _Hand:
    """What it takes to put, claim and settle in one state."""

    state: State
    owner: psycopg.AsyncConnection
    lifeline: Lifeline
    claims: Claims

    async def claim(self, claims: Claims) -> float:
        """Return the milliseconds of one claim of a whole batch."""
        if not self.state.has_backlog:
            await self.owner.execute(FILL, ["k", BATCH])
        began = time.perf_counter()
        messages = await claims.claim(LaneKey(Channel.EMAIL, Urgency.CODE), BATCH)
        took = time.perf_counter() - began
        if len(messages) != BATCH:
            raise RuntimeError(f"{self.state.name}: {len(messages)} messages were claimed")
        await Settles(self.lifeline).settle([Settlement(message, Sent("bench")) for message in messages])
        return took * 1000


async def _take_turns(ours: Ground, states: list[State], times: int) -> None:
    async with _hands(ours, states) as hands:
        for turn in range(WARM_UP + times):
            for hand in hands:
                took = await hand.claim(hand.claims)
                if turn >= WARM_UP:
                    hand.state.claims.append(took)
        for _ in range(times // 4):
            for hand in hands:
                # One that has just come begins before everything.
                hand.state.sweeps.append(await hand.claim(Claims(hand.lifeline, LEASE)))


@asynccontextmanager
async def _hands(ours: Ground, states: list[State]) -> AsyncIterator[list[_Hand]]:
    hands = []
    for state in states:
        owner = await psycopg.AsyncConnection.connect(driver_url(ours.cluster.url(state.database)), autocommit=True)
        lifeline = Lifeline(ours.cluster.url(state.database, "relay"), "bench")
        hands.append(_Hand(state, owner, lifeline, Claims(lifeline, LEASE)))
    yield hands
    for hand in hands:
        await hand.lifeline.close()
        await hand.owner.close()
