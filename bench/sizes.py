"""How much is measured: all of it within ten minutes, or a look within one."""

from dataclasses import dataclass
from datetime import timedelta

from bench.peers.errand import Form
from bench.rendering import ROUNDS
from bench.states import Amounts


@dataclass(frozen=True)
class Size:
    """How much is measured, and how long a peer may take for its part of it."""

    rounds: int
    is_look: bool
    """Whether peers are only to drain, and only the strongest of them; and of conditions, those with goals, and SMS."""
    messages: int
    forms: tuple[Form, ...]
    peer_messages: int
    peer_time: timedelta
    latencies: int
    seconds: float
    saturated_turns: int
    timed_turns: int
    waking_pairs: int
    """Of turns: one with somebody woken, and one with nobody."""
    answers: int
    samples: int
    claims: int
    beside: Amounts
    growth: int
    slow_rounds: int
    far_messages: int
    slow_messages: int
    idle_seconds: float
    backlog: int
    memory_time: timedelta
    renderings: int
    organizations: int
    looks: int


FULL = Size(
    rounds=5,
    is_look=False,
    messages=10_000,
    forms=tuple(Form),
    peer_messages=10_000,
    peer_time=timedelta(seconds=1),
    latencies=100,
    seconds=1,
    saturated_turns=5,
    timed_turns=15,
    waking_pairs=90,
    answers=50,
    samples=1_000,
    claims=40,
    beside=Amounts(settled=1_000_000, pending=100_000, dead_tuples=300_000),
    growth=1_000_000,
    slow_rounds=3,
    far_messages=1_600,
    slow_messages=320,
    idle_seconds=15,
    backlog=1_000_000,
    memory_time=timedelta(seconds=3),
    renderings=ROUNDS,
    organizations=12,
    looks=240,
)
QUICK = Size(
    rounds=1,
    is_look=True,
    messages=3_000,
    forms=(Form.USUAL,),
    peer_messages=2_000,
    peer_time=timedelta(seconds=1),
    latencies=50,
    seconds=0.5,
    saturated_turns=1,
    timed_turns=1,
    waking_pairs=12,
    answers=8,
    samples=30,
    claims=12,
    beside=Amounts(settled=30_000, pending=5_000, dead_tuples=3_000),
    growth=5_000,
    slow_rounds=1,
    far_messages=320,
    slow_messages=80,
    idle_seconds=5,
    backlog=5_000,
    memory_time=timedelta(seconds=2),
    renderings=5,
    organizations=5,
    looks=40,
)
