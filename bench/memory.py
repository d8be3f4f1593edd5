"""The memory of a relay with a large backlog, and its growth during delivery."""

import time

from bench.process_usage import peak_megabytes, resident_megabytes
from bench.report import RELAY_GROWTH, RELAY_MEMORY, Report
from bench.testbed import Testbed

BACKLOG, QUICK_BACKLOG = 1_000_000, 20_000
EARLY, QUICK_EARLY = 10_000, 5_000
SECONDS, QUICK_SECONDS = 10.0, 2.0
"""How long to deliver at most."""
POLL_SECONDS = 0.2
SENT = "select count(*) from outbox_messages where status = 'sent'"


def memory(testbed: Testbed, *, quick: bool) -> Report:
    """Measure a relay's memory after its first messages, and after it has delivered for some seconds."""
    backlog, early = (QUICK_BACKLOG, QUICK_EARLY) if quick else (BACKLOG, EARLY)
    testbed.truncate()
    testbed.enqueue_many(backlog, hours_late=1)
    with testbed.smtp_sink() as port, testbed.running(testbed.relay(port)) as [relay]:
        deadline = time.monotonic() + (QUICK_SECONDS if quick else SECONDS)
        while testbed.number(SENT) < early:
            relay.raise_if_ended()
            time.sleep(POLL_SECONDS)
        first = resident_megabytes(relay.pid)
        while (sent := testbed.number(SENT)) < backlog and time.monotonic() < deadline:
            relay.raise_if_ended()
            time.sleep(POLL_SECONDS)
        last, peak = resident_megabytes(relay.pid), peak_megabytes(relay.pid)
    testbed.truncate()  # a million messages would slow down other parts
    found = {f"after {early:,} messages": first, f"after {sent:,.0f}": last}
    return {f"relay with a backlog of {backlog:,}, MB": found, RELAY_GROWTH: last / first, RELAY_MEMORY: peak}
