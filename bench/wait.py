"""How soon a client that sent ``Prefer: wait`` gets its response after the message has settled."""

import time

from bench.registrations import Client
from bench.report import WAIT_DELAY, Report, percentile
from bench.testbed import Testbed
from devstack.ports import free_ports

WARM_UP, REQUESTS, QUICK_REQUESTS = 3, 60, 15
SETTLED = "select recipient, extract(epoch from settled_at)::float8 from outbox_messages where settled_at is not null"


def wait(testbed: Testbed, *, quick: bool) -> Report:
    """Register one user after the other, each waiting for the outcome, while a relay delivers."""
    testbed.truncate()
    port = free_ports().api
    with testbed.smtp_sink() as smtp, testbed.running(testbed.relay(smtp), testbed.api(port)):
        client, responded = Client(port), {}
        for _ in range(WARM_UP + (QUICK_REQUESTS if quick else REQUESTS)):
            email = client.register(Prefer="wait=10")
            responded[email] = time.time()
    with testbed.connect() as connection:
        settled: dict[str, float] = dict(connection.execute(SETTLED).fetchall())
    delays = [(moment - settled[email]) * 1000 for email, moment in responded.items()][WARM_UP:]
    return {
        "Prefer: wait, settlement to response, p50, ms": percentile(delays, 50),
        WAIT_DELAY: percentile(delays, 95),
    }
