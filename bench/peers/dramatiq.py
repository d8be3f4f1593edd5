"""Dramatiq with Redis: one process per core with eight threads each, its default."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from os import environ, sched_getaffinity

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.cli import main as run_workers
from dramatiq.cli import make_argument_parser

from bench.peers.harness import Enqueue, main
from bench.peers.sending import deliver_blocking

PROCESSES, THREADS = len(sched_getaffinity(0)), 8

dramatiq.set_broker(RedisBroker(url=environ["REDIS_URL"]))
mail = dramatiq.actor(deliver_blocking, actor_name="mail")


@asynccontextmanager
async def client() -> AsyncIterator[Enqueue]:
    """Enqueue one by one: there is no call for many."""

    async def enqueue(numbers: Sequence[int]) -> None:
        for number in numbers:
            mail.send(number)

    yield enqueue


def work() -> None:
    """Run the command line of Dramatiq."""
    options = ["bench.peers.dramatiq", "--processes", str(PROCESSES), "--threads", str(THREADS)]
    sys.exit(run_workers(make_argument_parser().parse_args(options)))


if __name__ == "__main__":
    main(client=client, work=work)
