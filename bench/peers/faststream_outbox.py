"""faststream-outbox: asyncpg with LISTEN, large batches, handled rows deleted in batches."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from faststream import FastStream
from faststream_outbox import OutboxBroker, make_outbox_table
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peers.harness import Enqueue, config, main
from bench.peers.sending import deliver

WORKERS, BATCH, FLUSH = 64, 500, 100

metadata = MetaData()
engine = create_async_engine("postgresql+asyncpg://", pool_size=WORKERS + 6)
broker = OutboxBroker(engine, outbox_table=make_outbox_table(metadata, table_name="outbox"))


async def install() -> None:
    """Create its table."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()  # its connections belong to this event loop


@asynccontextmanager
async def client() -> AsyncIterator[Enqueue]:
    """Publish in one transaction."""

    async def enqueue(numbers: Sequence[int]) -> None:
        async with engine.begin() as connection:
            await broker.publish_batch(*numbers, queue="mail", session=connection)

    yield enqueue


async def work() -> None:
    """Deliver; batches only to drain."""
    draining = config().is_draining
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


async def handle(number: int) -> None:
    """Deliver one message."""
    await deliver(number)


if __name__ == "__main__":
    main(client=client, work=work, install=install)
