"""Celery with Redis: late acknowledgement, because otherwise a message is lost with its worker; no results."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from celery import Celery

from bench.peers.harness import Enqueue, main
from bench.peers.sending import deliver_blocking

PROCESSES = 2 * len(os.sched_getaffinity(0))

app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=16,
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
mail = app.task(deliver_blocking, name="mail")


@asynccontextmanager
async def client() -> AsyncIterator[Enqueue]:
    """Enqueue over one connection."""
    with app.producer_pool.acquire() as producer:

        async def enqueue(numbers: Sequence[int]) -> None:
            for number in numbers:
                mail.apply_async((number,), producer=producer)

        yield enqueue


def work() -> None:
    """Deliver with two processes per core."""
    options = [f"--concurrency={PROCESSES}", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["worker", *options, "-l", "ERROR"])


if __name__ == "__main__":
    main(client=client, work=work)
