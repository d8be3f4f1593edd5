"""A TCP server on a loopback port, for any protocol."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(
    talk: Talk, tls: ssl.SSLContext | None = None, *, port: int = 0, grace_seconds: float = 5
) -> AsyncIterator[int]:
    """Yield the port. Run ``talk`` for each connection, and close it on EOFError or OSError.

    At the end, wait ``grace_seconds`` for the running ones, then cancel them, and close all connections.
    """
    talking: set[asyncio.Task[None]] = set()
    transports: set[asyncio.WriteTransport] = set()

    # No coroutine function: its task could be cancelled before it starts, and nothing would close the connection.
    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transports.add(writer.transport)
        task = asyncio.get_running_loop().create_task(_serve(talk, tls, reader, writer))
        talking.add(task)
        task.add_done_callback(talking.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", port, limit=1 << 20)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await connections_completed()
        if talking:
            await asyncio.wait(talking, timeout=grace_seconds)
        for task in talking:
            task.cancel()
        for transport in transports:
            transport.abort()
        await connections_completed()


async def _serve(
    talk: Talk, tls: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        if tls is not None:
            # Not in `start_server`, which would not show a connection before its handshake.
            await writer.start_tls(tls)
        await talk(reader, writer)
    except (EOFError, OSError):
        writer.transport.abort()


async def connections_completed() -> None:
    """Let the event loop finish opening connections that it has accepted, and closing those that were aborted."""
    for _ in range(4):
        await asyncio.sleep(0)
