"""A reply that arrives within its timeout counts, even if the process was frozen in between."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from outbox_relay.channels.base import timeout_with_grace

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def a_connection() -> AsyncIterator[tuple[asyncio.StreamReader, socket.socket]]:
    """Yield the two ends of a connection: the reader and the writer."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        yield reader, theirs
    finally:
        theirs.close()
        writer.close()
        await writer.wait_closed()


async def read_after_a_pause(
    limit: Callable[[float], AbstractAsyncContextManager[object]], pause_seconds: float = 0.6
) -> bytes:
    """Read with a timeout of 0.2 seconds, while the process is frozen for longer and a reply arrives."""
    async with a_connection() as (reader, theirs):

        async def hear() -> bytes:
            async with limit(0.2):
                return await reader.readline()

        hearing = asyncio.create_task(hear())
        await asyncio.sleep(0)
        theirs.sendall(b"yes\n")
        time.sleep(pause_seconds)  # noqa: ASYNC251 - no other task runs
        return await hearing


@pytest.mark.parametrize("pause_seconds", [0.2, 0.21, 0.3, 0.6])
async def test_a_reply_that_arrived_while_the_process_was_frozen_counts(pause_seconds: float) -> None:
    assert await read_after_a_pause(timeout_with_grace, pause_seconds) == b"yes\n"


async def test_an_ordinary_timeout_would_miss_the_reply() -> None:
    with pytest.raises(TimeoutError):
        await read_after_a_pause(asyncio.timeout)


async def test_without_a_reply_the_timeout_ends_the_wait() -> None:
    async with a_connection() as (reader, _):
        with pytest.raises(TimeoutError):
            async with timeout_with_grace(0.1):
                await reader.readline()


async def test_an_operation_within_its_timeout_is_unchanged() -> None:
    async with timeout_with_grace(0.05):
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
