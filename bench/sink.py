"""A mail sink of our own, for machines without Postfix's, and one that is slow or hangs."""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from devstack.ports import LOOPBACK

ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 bye\r\n",
}


async def talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, seconds: float, accepted: Callable[[], object]
) -> None:
    """Take whatever comes, and take so long for each mail; ``accepted`` is called with each yes."""
    writer.write(b"220 sink\r\n")
    while line := await reader.readline():
        verb = line[:4].upper()
        writer.write(ANSWERS.get(verb, b"250 ok\r\n"))
        if verb == b"DATA":
            await reader.readuntil(b"\r\n.\r\n")
            if seconds:
                await asyncio.sleep(seconds)
            writer.write(b"250 queued\r\n")
            accepted()


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take the connection and say nothing, ever."""
    await asyncio.Event().wait()


async def serve(port: int, *, is_hanging: bool, milliseconds: int, times: Path) -> None:
    """Listen until ended."""
    with times.open("w", buffering=1) as told:
        talking = partial(talk, seconds=milliseconds / 1000, accepted=lambda: told.write(f"{time.time()}\n"))
        await _listen(port, hang if is_hanging else talking)


async def _listen(port: int, conversation: Callable[..., Awaitable[None]]) -> None:
    server = await asyncio.start_server(conversation, LOOPBACK, port, limit=1 << 20)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve on a port of loopback."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--milliseconds", type=int, default=0, help="how long each mail takes")
    parser.add_argument("--times", type=Path, default=os.devnull, help="where to write when each mail was accepted")
    given = parser.parse_args()
    asyncio.run(serve(given.port, is_hanging=given.hang, milliseconds=given.milliseconds, times=Path(given.times)))


if __name__ == "__main__":
    main()
