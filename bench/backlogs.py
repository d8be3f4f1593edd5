"""How fast a relay drains beside what a busy outbox gathers: settled rows, a backlog, dead tuples.

Each state has a database of its own, and the states take turns drain by drain.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.request import urlopen

import psycopg

from bench.ground import Ground
from bench.relaying import FILL, POLL_SECONDS, mail_sink
from bench.states import Amounts, State, backlog, empty, old_transaction, settled, state_database
from devstack.processes import Process
from shared.database import driver_url

SETTLED = "signpost_messages_settled_total{"
# From the first statement that settled anything to the last: what starting the relay takes plays no part.
RATE = """
with settles as (
    select settled_at, count(*) over (order by settled_at) as settled
      from outbox_messages
     where settled_at > %s)
select (max(settled) - min(settled)) / extract(epoch from max(settled_at) - min(settled_at)) from settles
"""


def drain_rates(ours: Ground, amounts: Amounts, messages: int, rounds: int) -> dict[State, list[float]]:
    """Drain so many messages in each state, in turns; return messages a second. The first state is empty."""
    ours.empty()
    with ExitStack() as ending:
        makers = (empty, settled, backlog, behind_an_old_transaction)
        rates: dict[State, list[float]] = {ending.enter_context(make(ours, amounts)): [] for make in makers}
        turns = deque(rates.items())
        for _ in range(rounds):
            for state, measured in turns:
                measured.append(_drain(ours, state, messages))
            turns.rotate()  # what goes first finds the machine cold
        return rates


@contextmanager
def behind_an_old_transaction(ours: Ground, _amounts: Amounts) -> Iterator[State]:
    """Have a transaction open from before the first message on."""
    with state_database(ours, "state_old") as connection, old_transaction(connection.info.dsn):
        yield State("an old transaction held open", "state_old")


def _drain(ours: Ground, state: State, messages: int) -> float:
    url = driver_url(ours.cluster.url(state.database))
    with psycopg.connect(url, autocommit=True) as connection, mail_sink(ours) as port:
        if not state.has_backlog:
            connection.execute(FILL, [ours.key_id, messages])
        # A page's first change after a checkpoint is written ahead whole. Each page of a backlog still waits for that;
        # those of what was just put in would have it behind them.
        connection.execute("checkpoint")
        [(began,)] = connection.execute("select clock_timestamp()").fetchall()
        program = ours.relay(port, DATABASE_URL=ours.cluster.url(state.database, "relay"))
        with ours.running(program) as relay:
            _wait_until_settled(relay, str(program.ready_url).replace("/readyz", "/metrics"), messages)
        [(rate,)] = connection.execute(RATE, [began]).fetchall()
        return float(rate)


def _wait_until_settled(relay: Process, metrics: str, messages: int) -> None:
    while _settled(metrics) < messages:
        relay.raise_if_ended()
        time.sleep(POLL_SECONDS)


def _settled(metrics: str) -> float:
    with urlopen(metrics, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(SETTLED))
