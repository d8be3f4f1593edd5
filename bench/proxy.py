"""A road that takes its time: a port that leads to another, half a round trip later in each direction.

Bytes keep their order, and those that follow do not wait for those before them: it is long, not narrow.
"""

import argparse
import asyncio
from contextlib import suppress

from bench import fine_waits
from devstack.ports import LOOPBACK

CHUNK = 65_536


async def lead(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float) -> None:
    """Carry bytes from one end to the other, each so many seconds after it came."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    arriving = asyncio.create_task(_arrive(under_way, target))
    clock = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while chunk := await source.read(CHUNK):
            under_way.put_nowait((clock.time() + delay, chunk))
    under_way.put_nowait((clock.time() + delay, b""))
    await arriving


async def _arrive(under_way: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(due - clock.time())
            if not chunk:
                break
            target.write(chunk)
        target.write_eof()


async def serve(port: int, target_port: int, round_trip: float) -> None:
    """Lead connections to one port of loopback on to another, until ended."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, target_port)
        try:
            await asyncio.gather(lead(reader, far_writer, round_trip / 2), lead(far_reader, writer, round_trip / 2))
        finally:
            writer.close()
            far_writer.close()

    async with await asyncio.start_server(connected, LOOPBACK, port) as server:
        await server.serve_forever()


def main() -> None:
    """Serve on a port of loopback."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("target_port", type=int)
    parser.add_argument("milliseconds", type=float, help="of a round trip")
    given = parser.parse_args()
    fine_waits.run(serve(given.port, given.target_port, given.milliseconds / 1000))


if __name__ == "__main__":
    main()
