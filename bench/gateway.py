"""An SMS gateway that says yes to every POST, so many milliseconds after it came."""

import argparse
import asyncio

from bench import fine_waits
from devstack.ports import LOOPBACK

BODY = b'{"id": "1"}'
YES = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
LENGTH = b"content-length:"


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Answer one request after the other."""
    while head := await _head(reader):
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(LENGTH)]
        await reader.readexactly(int(lengths[0][len(LENGTH) :]) if lengths else 0)
        await asyncio.sleep(seconds)
        writer.write(YES)
    writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def serve(port: int, seconds: float) -> None:
    """Listen until ended."""
    async with await asyncio.start_server(lambda r, w: talk(r, w, seconds), LOOPBACK, port) as server:
        await server.serve_forever()


def main() -> None:
    """Serve on a port of loopback."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("milliseconds", type=float)
    given = parser.parse_args()
    fine_waits.run(serve(given.port, given.milliseconds / 1000))


if __name__ == "__main__":
    main()
