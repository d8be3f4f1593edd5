"""How long a claim takes beside what a busy outbox gathers: settled rows, a backlog, dead tuples.

Each state has a database of its own, and the states take turns claim by claim: what others do on the
machine meets all of them alike. What was claimed is settled before the next turn.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg

from bench.ground import Ground
from bench.relaying import FILL
from bench.states import Amounts, State, backlog, dead_tuples, empty, long_kept, settled
from outbox_relay.claims import Claims
from outbox_relay.database import Lifeline
from outbox_relay.messages import LaneKey
from outbox_relay.outcomes import Sent
from outbox_relay.settles import Settlement, Settles
from shared.database import driver_url
from shared.vocabulary import Channel, Urgency

BATCH = 100
LEASE = timedelta(minutes=1)
WARM_UP = 2
"""Claims not counted: the first of all, and the first that is no sweep."""


@dataclass(frozen=True)
class Times:
    """The milliseconds that claims took in a state."""

    state: State
    claims: list[float] = field(default_factory=list)
    sweeps: list[float] = field(default_factory=list)


def claim_times(ours: Ground, amounts: Amounts, claims: int) -> list[Times]:
    """Measure so many claims, and then sweeps, in each state; the first is empty."""
    ours.empty()
    with ExitStack() as ending:
        states = [
            ending.enter_context(make(ours, amounts)) for make in (empty, settled, long_kept, backlog, dead_tuples)
        ]
        return asyncio.run(_take_turns(ours, states, claims))


@dataclass(frozen=True)
class _Hand:
    """What it takes to put, claim and settle in one state."""

    times: Times
    owner: psycopg.AsyncConnection
    lifeline: Lifeline
    claims: Claims

    async def claim(self, claims: Claims) -> float:
        """Return the milliseconds of one claim of a whole batch."""
        state = self.times.state
        if not state.has_backlog:
            await self.owner.execute(FILL, ["k", BATCH])
        began = time.perf_counter()
        messages = await claims.claim(LaneKey(Channel.EMAIL, Urgency.CODE), BATCH)
        took = time.perf_counter() - began
        if len(messages) != BATCH:
            raise RuntimeError(f"{state.name}: {len(messages)} messages were claimed")
        await Settles(self.lifeline).settle([Settlement(message, Sent("bench")) for message in messages])
        return took * 1000


async def _take_turns(ours: Ground, states: list[State], turns: int) -> list[Times]:
    async with _hands(ours, states) as hands:
        for turn in range(WARM_UP + turns):
            for hand in hands:
                took = await hand.claim(hand.claims)
                if turn >= WARM_UP:
                    hand.times.claims.append(took)
        for _ in range(turns // 10):
            for hand in hands:
                # One that has just come begins before everything.
                hand.times.sweeps.append(await hand.claim(Claims(hand.lifeline, LEASE)))
        return [hand.times for hand in hands]


@asynccontextmanager
async def _hands(ours: Ground, states: list[State]) -> AsyncIterator[list[_Hand]]:
    hands = []
    for state in states:
        owner = await psycopg.AsyncConnection.connect(driver_url(ours.cluster.url(state.database)), autocommit=True)
        lifeline = Lifeline(ours.cluster.url(state.database, "relay"), "bench", plans_once=True)
        hands.append(_Hand(Times(state), owner, lifeline, Claims(lifeline, LEASE)))
    yield hands
    for hand in hands:
        await hand.lifeline.close()
        await hand.owner.close()
