"""The duration of a claim with a million settled messages in the outbox, and in an empty one."""

import asyncio
import time
from contextlib import ExitStack

from bench.outbox_client import OutboxClient
from bench.report import CLAIM_TO_EMPTY, Report, percentile
from bench.testbed import Testbed

BATCH = 100
CLAIMS, QUICK_CLAIMS = 60, 25
WARM_UP = 2
"""ClaimStore that do not count: the first scans from the beginning, and the second is planned."""
SETTLED, QUICK_SETTLED = 1_000_000, 30_000
WEEKS = 13
"""As many as are kept by default."""
DAYS = 7 * WEEKS - 1
EMPTY_OUTBOX, FULL_OUTBOX = "bench_empty", "bench_settled"
PAST_PARTITIONS = """
select signpost_make_partition(date_trunc('week', now(), 'UTC') - n * interval '168 hours')
  from generate_series(1, %s) as n
"""
SETTLED_MESSAGES = """
insert into outbox_messages (id, template, channel, recipient, locale, payload, token_id, max_attempts, attempt,
                             status, provider, created_at, due_at, settled_at)
select uuidv7(moment - clock_timestamp()),
       'activation', 'email', 'user' || n || '@example.org', 'en', '{"name": "Ada", "key_id": "k"}',
       gen_random_uuid(), 8, 1, 'sent', 'smtp:mail:25', moment, moment, moment
  from generate_series(1, %(count)s) as n,
       lateral (select now() - n %% (%(days)s + 1) * interval '1 day') as day (moment)
"""


def claim(testbed: Testbed, *, quick: bool) -> Report:
    """Measure claims of 100 in turns in two databases, one empty and one with settled messages of 13 weeks."""
    settled = QUICK_SETTLED if quick else SETTLED
    testbed.truncate()
    with ExitStack() as stack:
        stack.enter_context(testbed.new_database(EMPTY_OUTBOX))
        owner = stack.enter_context(testbed.new_database(FULL_OUTBOX))
        owner.execute(PAST_PARTITIONS, [WEEKS])
        owner.execute(SETTLED_MESSAGES, {"count": settled, "days": DAYS})
        owner.execute("vacuum analyze outbox_messages")
        empty, full = asyncio.run(_claim_in_turns(testbed, QUICK_CLAIMS if quick else CLAIMS))
    return {
        "claim of 100 in an empty outbox, ms": {f"p{one}": percentile(empty, one) for one in (50, 95)},
        f"  with {settled:,} settled messages, ms": {f"p{one}": percentile(full, one) for one in (50, 95)},
        CLAIM_TO_EMPTY: percentile(full, 50) / percentile(empty, 50),
    }


async def _claim_in_turns(testbed: Testbed, claims: int) -> list[list[float]]:
    """Return the milliseconds of each claim, by database."""
    databases = (EMPTY_OUTBOX, FULL_OUTBOX)
    clients = [OutboxClient(testbed.url("relay", database=database)) for database in databases]
    times: list[list[float]] = [[], []]
    for _ in range(WARM_UP + claims):
        for database, client, found in zip(databases, clients, times, strict=True):
            testbed.enqueue_many(BATCH, database=database)
            start = time.perf_counter()
            messages = await client.claim(BATCH)
            found.append((time.perf_counter() - start) * 1000)
            await client.settle(messages)
    for client in clients:
        await client.close()
    return [found[WARM_UP:] for found in times]
