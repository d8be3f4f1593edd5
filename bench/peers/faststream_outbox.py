"""faststream-outbox: asyncpg with LISTEN, large batches, terminal rows deleted in batches."""

import asyncio
import time

from faststream import FastStream
from faststream_outbox import OutboxBroker, make_outbox_table
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peers.errand import act, errand
from bench.peers.sending import deliver

WORKERS = 64
BATCH = 500
FLUSH = 100
ENQUEUE_AT_ONCE = 1_000

metadata = MetaData()
engine = create_async_engine("postgresql+asyncpg://", pool_size=WORKERS + 6)
broker = OutboxBroker(engine, outbox_table=make_outbox_table(metadata, table_name="outbox"))


async def install() -> None:
    """Make its table."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()


async def fill(count: int) -> None:
    """Enqueue many at once."""
    for start in range(0, count, ENQUEUE_AT_ONCE):
        numbers = range(start, min(count, start + ENQUEUE_AT_ONCE))
        async with engine.begin() as connection:
            await broker.publish_batch(*([number, 0.0] for number in numbers), queue="mail", session=connection)
    await engine.dispose()  # its connections belong to this event loop


async def trickle(count: int) -> None:
    """Enqueue one by one."""
    for number in range(count):
        enqueued_at = time.time()
        async with engine.begin() as connection:
            await broker.publish([number, enqueued_at], queue="mail", session=connection)
        await asyncio.sleep(errand().pause_seconds)


async def work() -> None:
    """Deliver until told to end."""
    draining = errand().is_draining
    subscriber = broker.subscriber(
        "mail",
        max_workers=WORKERS,
        fetch_batch_size=BATCH if draining else WORKERS,
        min_fetch_interval=0.01,
        max_fetch_interval=1.0,
        terminal_flush_batch_size=FLUSH if draining else 1,
    )
    subscriber(handle)
    await FastStream(broker).run()


async def handle(body: list[float]) -> None:
    """Deliver one."""
    number, enqueued_at = body
    await deliver(int(number), enqueued_at)


if __name__ == "__main__":
    act(install=install, fill=fill, trickle=trickle, work=work, run=asyncio.run)
