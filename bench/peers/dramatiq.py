"""Dramatiq over Redis: a process for each core with eight threads, its default."""

import os
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.cli import main as run_workers
from dramatiq.cli import make_argument_parser

from bench.peers.errand import Form, act, errand
from bench.peers.sending import deliver_blocking

THREADS = 8
THREADS_TO_PIPELINE = 32

broker = RedisBroker(url=os.environ["REDIS_URL"])
dramatiq.set_broker(broker)
mail = dramatiq.actor(deliver_blocking, actor_name="mail")


def fill(count: int) -> None:
    """Enqueue many."""
    for number in range(count):
        mail.send(number, 0)


def trickle(count: int) -> None:
    """Enqueue one by one."""
    for number in range(count):
        mail.send(number, time.time())
        time.sleep(errand().pause_seconds)


def work() -> None:
    """Deliver until told to end."""
    cores = len(os.sched_getaffinity(0))
    threads = THREADS_TO_PIPELINE if errand().form is Form.PREPARED else THREADS
    options = ["bench.peers.dramatiq", "--processes", str(cores), "--threads", str(threads)]
    sys.exit(run_workers(make_argument_parser().parse_args(options)))


if __name__ == "__main__":
    act(fill=fill, trickle=trickle, work=work)
