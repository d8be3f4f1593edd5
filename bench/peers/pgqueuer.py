"""pgqueuer: asyncpg, LISTEN, large batches.

With psycopg it listens on the connection that it also fetches with, and so fetches only once a second.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from bench.peers.harness import Enqueue, config, main
from bench.peers.sending import deliver

BATCH, BATCH_FOR_LATENCY = 500, 10
ENTRYPOINT = "mail"


async def driver() -> AsyncpgDriver:
    """Connect as in its documentation."""
    return AsyncpgDriver(await asyncpg.connect())


async def install() -> None:
    """Create its tables."""
    await Queries(await driver()).install()


@asynccontextmanager
async def client() -> AsyncIterator[Enqueue]:
    """Enqueue many in one call."""
    queries = Queries(await driver())

    async def enqueue(numbers: Sequence[int]) -> None:
        payloads: list[bytes | None] = [b"%d" % number for number in numbers]
        await queries.enqueue([ENTRYPOINT] * len(payloads), payloads, [0] * len(payloads))

    yield enqueue


async def work() -> None:
    """Deliver; large batches only to drain."""
    worker = PgQueuer(await driver())
    worker.entrypoint(ENTRYPOINT)(handle)
    batch = BATCH if config().is_draining else BATCH_FOR_LATENCY
    await worker.run(dequeue_timeout=timedelta(seconds=1), batch_size=batch)


async def handle(job: Any) -> None:
    """Deliver one message."""
    await deliver(int(job.payload))


if __name__ == "__main__":
    main(client=client, work=work, install=install)
