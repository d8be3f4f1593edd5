"""procrastinate: its psycopg connector, LISTEN, concurrency for waiting on sockets."""

import asyncio
import sys
import time

from procrastinate import App, PsycopgConnector

from bench.peers.errand import errand, wait_until_told
from bench.peers.sending import deliver

CONCURRENCY = 100
DEFER_AT_ONCE = 5_000

app = App(connector=PsycopgConnector(min_size=4, max_size=20))
mail = app.task(deliver, name="mail")


async def fill(count: int) -> None:
    """Enqueue many at once."""
    for start in range(0, count, DEFER_AT_ONCE):
        numbers = range(start, min(count, start + DEFER_AT_ONCE))
        await mail.batch_defer_async(*({"number": number, "enqueued_at": 0} for number in numbers))


async def trickle(count: int) -> None:
    """Enqueue one by one."""
    for number in range(count):
        await mail.defer_async(number=number, enqueued_at=time.time())
        await asyncio.sleep(errand().pause_seconds)


async def work() -> None:
    """Deliver until told to end; what is done is deleted, which is its quickest."""
    await app.run_worker_async(concurrency=CONCURRENCY, delete_jobs="successful")


async def main() -> None:
    """Do as told."""
    async with app.open_async():
        match sys.argv[1:]:
            case ["fill", first, *rest]:
                await app.schema_manager.apply_schema_async()
                await fill(int(first))
                for count in rest:
                    wait_until_told()
                    await fill(int(count))
            case ["trickle", count]:
                await trickle(int(count))
            case _:
                await work()


if __name__ == "__main__":
    asyncio.run(main())
