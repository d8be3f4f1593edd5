"""pgqueuer: psycopg, LISTEN, large batches."""

import asyncio
import sys
import time
from datetime import timedelta
from typing import Any

import psycopg
from pgqueuer import PgQueuer
from pgqueuer.db import PsycopgDriver
from pgqueuer.queries import Queries

from bench.peers.errand import errand
from bench.peers.sending import deliver

BATCH = 500
ENTRYPOINT = "mail"


async def connected() -> PsycopgDriver:
    """Connect as its documentation has it."""
    return PsycopgDriver(await psycopg.AsyncConnection.connect("", autocommit=True))


async def fill(count: int) -> None:
    """Install it and enqueue many at once."""
    queries = Queries(await connected())
    await queries.install()
    if count:
        payloads: list[bytes | None] = [b"%d 0" % number for number in range(count)]
        await queries.enqueue([ENTRYPOINT] * count, payloads, [0] * count)


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


def main() -> None:
    """Do as told."""
    match sys.argv[1:]:
        case ["fill", count]:
            asyncio.run(fill(int(count)))
        case ["trickle", count]:
            asyncio.run(trickle(int(count)))
        case _:
            asyncio.run(work())


if __name__ == "__main__":
    main()
