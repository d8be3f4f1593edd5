"""What a relay costs when there is nothing to do, and how much memory it takes when there is much."""

import time
from datetime import timedelta

from bench.contest import told
from bench.goals import IDLE_CPU, IDLE_STATEMENTS, RELAY_GROWTH, RELAY_MEMORY
from bench.ground import Ground
from bench.relaying import IS_PENDING, mail_sink
from bench.report import Report
from bench.sizes import Size
from bench.states import state_database, with_pending
from bench.usage import cpu_seconds, peak_megabytes, resident_megabytes
from devstack.processes import Process

POLL_SECONDS = 5
"""RELAY_POLL_SECONDS where it is not set."""
SETTLE_SECONDS = 12
"""A relay has work at its start, and a session that rests tells the server's statistics of it within ten seconds."""
STATE = "state_memory"
EARLY = 10_000
LOOK_SECONDS = 0.2
OWN_LOOK = 2
"""The one who counted at the beginning is among those counted at the end: connecting is a transaction, too."""
TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
SENT = "select count(*) from outbox_messages where status = 'sent'"


def idle(ours: Ground, size: Size) -> Report:
    """Measure a relay without messages. Statements are counted as transactions: each of its is one."""
    ours.empty()
    with mail_sink(ours) as port, ours.running(ours.relay(port)) as relay:
        time.sleep(SETTLE_SECONDS)
        began, cpu, statements = time.monotonic(), cpu_seconds(relay.pid), ours.number(TRANSACTIONS)
        time.sleep(size.idle_seconds)
        took = time.monotonic() - began
        cpu, statements = cpu_seconds(relay.pid) - cpu, ours.number(TRANSACTIONS) - statements - OWN_LOOK
        memory = peak_megabytes(relay.pid)
    intervals = took / POLL_SECONDS
    return {IDLE_CPU: cpu / took * 100, IDLE_STATEMENTS: statements / intervals, "idle relay, MB": memory}


def memory(ours: Ground, size: Size) -> Report:
    """Measure a relay's memory with a backlog, while and after it delivers as much of it as the time allows."""
    report: Report = {}
    highest = []
    for backlog in sorted({size.backlog // 10, size.backlog}):
        told(f"a backlog of {backlog:,}")
        early, late, peak, sent = _drained(ours, backlog, size.memory_time)
        report[f"backlog of {backlog:,}, MB"] = {
            f"after {_early(backlog):,} messages": early,
            f"after {sent:,.0f}": late,
            "highest": peak,
        }
        report[RELAY_GROWTH] = late / early
        highest.append(peak)
    return report | {RELAY_MEMORY: max(highest)}


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
