"""The cost of a relay without messages."""

import time

from bench.process_usage import cpu_seconds, resident_megabytes
from bench.report import IDLE_CPU, Report
from bench.testbed import Testbed

START_SECONDS, QUICK_START_SECONDS = 10, 1
"""A relay that has just started has work to do."""
SECONDS, QUICK_SECONDS = 60, 4
"""A minute has twelve polls and one turn of maintenance."""


def idle(testbed: Testbed, *, quick: bool) -> Report:
    """Measure the CPU of a relay without messages, and of its PostgreSQL."""
    testbed.truncate()
    with testbed.smtp_sink() as port, testbed.running(testbed.relay(port)) as [relay]:
        time.sleep(QUICK_START_SECONDS if quick else START_SECONDS)
        start, before = time.monotonic(), (cpu_seconds(relay.pid), cpu_seconds(testbed.postgres_pid))
        time.sleep(QUICK_SECONDS if quick else SECONDS)
        after, seconds = (cpu_seconds(relay.pid), cpu_seconds(testbed.postgres_pid)), time.monotonic() - start
        memory = resident_megabytes(relay.pid)
    cpu, store_cpu = ((late - early) / seconds * 100 for early, late in zip(before, after, strict=True))
    return {IDLE_CPU: cpu, "its PostgreSQL, % of a core": store_cpu, "idle relay, MB": memory}
