"""What a relay costs when there is nothing to do, and how much memory it takes when there is much."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

from bench.goals import IDLE_CPU, IDLE_STATEMENTS, RELAY_GROWTH, RELAY_MEMORY
from bench.ground import Ground
from bench.relaying import IS_PENDING, mail_sink
from bench.report import Report
from bench.sizes import Size
from bench.states import state_database, with_pending
from bench.usage import cpu_seconds, peak_megabytes, resident_megabytes
from devstack.processes import Process
from devstack.programs import DATABASE

POLL_SECONDS = 5
"""RELAY_POLL_SECONDS where it is not set."""
UPKEEP_SECONDS, QUICK_UPKEEP_SECONDS = 60, 1
"""RELAY_UPKEEP_SECONDS where it is not set, and where it is set to see what turns do: of five, one does more."""
SETTLE_SECONDS = 12
"""A relay has work at its start, and a session that rests tells the server's statistics of it within ten seconds."""
STATE = "state_memory"
UPKEPT = "state_upkept"
EARLY = 10_000
LOOK_SECONDS = 0.2
OWN_LOOK = 2
"""Who counted at the beginning is among those counted at the end, in the resting relay's database: connecting is a
transaction, too."""
TRANSACTIONS = "select datname, xact_commit + xact_rollback from pg_stat_database where datname is not null"
SENT = "select count(*) from outbox_messages where status = 'sent'"


@dataclass(frozen=True)
class Used:
    """What a relay has used of CPU, in seconds, and how many statements it has run."""

    cpu: float
    statements: int


def idle(ours: Ground, size: Size) -> Report:
    """Measure a relay without messages. Statements are counted as transactions: each of its is one.

    Beside it runs one with a turn of upkeep each second. How much more that takes is what turns do, of which the other
    has one a minute.
    """
    ours.empty()
    with ExitStack() as ending:
        ending.enter_context(state_database(ours, UPKEPT))
        port = ending.enter_context(mail_sink(ours))
        url, every = ours.cluster.url(UPKEPT, "relay"), str(QUICK_UPKEEP_SECONDS)
        upkeeping = replace(ours.relay(port, DATABASE_URL=url, RELAY_UPKEEP_SECONDS=every), name="upkeeping relay")
        relays = [ending.enter_context(ours.running(relay)) for relay in (ours.relay(port), upkeeping)]
        time.sleep(SETTLE_SECONDS)
        began, before = time.monotonic(), _used(ours, relays)
        time.sleep(size.idle_seconds)
        seconds = time.monotonic() - began
        resting, busy = (
            Used(after.cpu - earlier.cpu, after.statements - earlier.statements)
            for earlier, after in zip(before, _used(ours, relays), strict=True)
        )
        memory = peak_megabytes(relays[0].pid)
    intervals, statements = seconds / POLL_SECONDS, resting.statements - OWN_LOOK
    share = QUICK_UPKEEP_SECONDS / UPKEEP_SECONDS
    upkeep_cpu, upkeep_statements = busy.cpu - resting.cpu, busy.statements - statements
    return {
        IDLE_CPU: (resting.cpu + upkeep_cpu * share) / seconds * 100,
        IDLE_STATEMENTS: (statements + upkeep_statements * share) / intervals,
        "  a turn of upkeep, on average": {
            "CPU, ms": upkeep_cpu / seconds * QUICK_UPKEEP_SECONDS * 1000,
            "statements": upkeep_statements / seconds * QUICK_UPKEEP_SECONDS,
        },
        "idle relay, MB": memory,
    }


def _used(ours: Ground, relays: Sequence[Process]) -> list[Used]:
    with ours.connect() as connection:
        counted: dict[str, int] = dict(connection.execute(TRANSACTIONS).fetchall())
    return [Used(cpu_seconds(one.pid), counted[name]) for one, name in zip(relays, (DATABASE, UPKEPT), strict=True)]


def memory(ours: Ground, size: Size) -> Report:
    """Measure a relay's memory with a backlog, while and after it delivers as much of it as the time allows."""
    early, late, peak, sent = _drained(ours, size.backlog, size.memory_time)
    found = {f"after {_early(size.backlog):,} messages": early, f"after {sent:,.0f}": late}
    return {f"backlog of {size.backlog:,}, MB": found, RELAY_GROWTH: late / early, RELAY_MEMORY: peak}


def _drained(ours: Ground, backlog: int, most: timedelta) -> tuple[float, float, float, float]:
    """Return megabytes after the first messages and at the end, the most there were, and how many were sent."""
    with state_database(ours, STATE, with_pending(ours, backlog)) as connection, mail_sink(ours) as port:

        def number(query: str) -> float:
            [(found,)] = connection.execute(query).fetchall()
            return float(found)

        with ours.running(ours.relay(port, DATABASE_URL=ours.cluster.url(STATE, "relay"))) as relay:
            deadline = time.monotonic() + most.total_seconds()
            while number(SENT) < _early(backlog):
                _look_again(relay)
            early = resident_megabytes(relay.pid)
            while number(f"select ({IS_PENDING})::integer") and time.monotonic() < deadline:
                _look_again(relay)
            return early, resident_megabytes(relay.pid), peak_megabytes(relay.pid), number(SENT)


def _early(backlog: int) -> int:
    return min(EARLY, backlog // 2)


def _look_again(relay: Process) -> None:
    relay.raise_if_ended()
    time.sleep(LOOK_SECONDS)
