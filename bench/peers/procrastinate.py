"""procrastinate: its psycopg connector, LISTEN, concurrency for tasks that wait for sockets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from procrastinate import App, PsycopgConnector

from bench.peers.harness import Enqueue, main
from bench.peers.sending import deliver

CONCURRENCY = 100

app = App(connector=PsycopgConnector(min_size=4, max_size=20))
mail = app.task(deliver, name="mail")


async def install() -> None:
    """Create its tables."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


@asynccontextmanager
async def client() -> AsyncIterator[Enqueue]:
    """Defer many in one call."""

    async def enqueue(numbers: Sequence[int]) -> None:
        await mail.batch_defer_async(*({"number": number} for number in numbers))

    async with app.open_async():
        yield enqueue


async def work() -> None:
    """Deliver; deleting handled jobs is its fastest setting."""
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY, delete_jobs="successful")


if __name__ == "__main__":
    main(client=client, work=work, install=install)
