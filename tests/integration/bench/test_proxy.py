import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from devstack.ports import LOOPBACK, free_port

ROUND_TRIP = timedelta(milliseconds=200)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
    while chunk := await reader.read(1000):
        writer.write(chunk)
    writer.close()
    await writer.wait_closed()
    gone.set()


@asynccontextmanager
async def far_echo() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    gone = asyncio.Event()
    async with await asyncio.start_server(lambda r, w: echo(r, w, gone), LOOPBACK) as server:
        with proxy_to(server.sockets[0].getsockname()[1]) as port:
            reader, writer = await connected(port)
            yield reader, writer
            writer.close()
            await writer.wait_closed()
            await gone.wait()


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:  # no probe beforehand: it would be carried on, too
        try:
            return await asyncio.open_connection(LOOPBACK, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)


@contextmanager
def proxy_to(target: int) -> Iterator[int]:
    port = free_port()
    milliseconds = ROUND_TRIP / timedelta(milliseconds=1)
    with subprocess.Popen([sys.executable, "-m", "bench.proxy", *map(str, (port, target, milliseconds))]) as proxy:
        yield port
        proxy.terminate()


def test_an_answer_takes_at_least_a_round_trip() -> None:
    async def took() -> float:
        clock = asyncio.get_running_loop()
        async with far_echo() as (reader, writer):
            began = clock.time()
            writer.write(b"?")
            assert await reader.read(1) == b"?"
            return clock.time() - began

    assert asyncio.run(took()) >= ROUND_TRIP.total_seconds()


def test_bytes_keep_their_order_and_the_end_comes_last() -> None:
    sent = [bytes([number]) * number for number in range(1, 250)]

    async def received() -> bytes:
        async with far_echo() as (reader, writer):
            for chunk in sent:
                writer.write(chunk)
                await asyncio.sleep(0)
            writer.write_eof()
            return await reader.read(-1)

    assert asyncio.run(received()) == b"".join(sent)
