"""An HTTP proxy that connects clients to a server on this machine (RFC 9110 §9.3.6)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.listening import listening


@asynccontextmanager
async def http_proxy(requests: list[str]) -> AsyncIterator[str]:
    """Run the proxy, and yield its URL. Add the first line of each request to ``requests``."""

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0]
        requests.append(line)
        far_reader, far_writer = await asyncio.open_connection(*line.split()[1].split(":"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    async with listening(tunnel) as port:
        yield f"http://127.0.0.1:{port}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
