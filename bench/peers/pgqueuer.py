"""pgqueuer: asyncpg, LISTEN, large batches.

Over psycopg it listens on the connection that it fetches with, and so fetches once a second.
"""

import asyncio
import time
from datetime import timedelta
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from bench.peers.errand import act, errand
from bench.peers.sending import deliver

BATCH = 500
ENTRYPOINT = "mail"


async def connected() -> AsyncpgDriver:
    """Connect as its documentation has it."""
    return AsyncpgDriver(await asyncpg.connect())


async def install() -> None:
    """Make its tables."""
    await Queries(await connected()).install()


async def fill(count: int) -> None:
    """Enqueue many at once."""
    payloads: list[bytes | None] = [b"%d 0" % number for number in range(count)]
    await Queries(await connected()).enqueue([ENTRYPOINT] * count, payloads, [0] * count)


async def trickle(count: int) -> None:
    """Enqueue one by one."""
    queries = Queries(await connected())
    for number in range(count):
        await queries.enqueue(ENTRYPOINT, f"{number} {time.time()}".encode())
        await asyncio.sleep(errand().pause_seconds)


async def work() -> None:
    """Deliver until told to end."""
    worker = PgQueuer(await connected())
    worker.entrypoint(ENTRYPOINT)(handle)
    batch = BATCH if errand().is_draining else 10
    await worker.run(dequeue_timeout=timedelta(seconds=1), batch_size=batch)


async def handle(job: Any) -> None:
    """Deliver one."""
    number, enqueued_at = job.payload.split()
    await deliver(int(number), float(enqueued_at))


if __name__ == "__main__":
    act(install=install, fill=fill, trickle=trickle, work=work, run=asyncio.run)
