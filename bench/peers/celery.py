"""Celery over Redis: without results and with late acknowledgement, or a message would be lost with its worker.

Processes are its usual pool; with a sender that pipelines, threads, so that there is something to pipeline.
"""

import os
import time

from celery import Celery

from bench.peers.errand import Form, act, errand
from bench.peers.sending import deliver_blocking

PROCESSES = 2 * len(os.sched_getaffinity(0))
THREADS = 64

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


def fill(count: int) -> None:
    """Enqueue many over one connection."""
    with app.producer_pool.acquire() as producer:
        for number in range(count):
            mail.apply_async((number, 0), producer=producer)


def trickle(count: int) -> None:
    """Enqueue one by one."""
    with app.producer_pool.acquire() as producer:
        for number in range(count):
            mail.apply_async((number, time.time()), producer=producer)
            time.sleep(errand().pause_seconds)


def work() -> None:
    """Deliver until told to end."""
    threads = ["--pool=threads", f"--concurrency={THREADS}"]
    pool = threads if errand().form is Form.PREPARED else [f"--concurrency={PROCESSES}"]
    app.worker_main(["worker", *pool, "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"])


if __name__ == "__main__":
    act(fill=fill, trickle=trickle, work=work)
