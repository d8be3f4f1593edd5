"""Answers that have come before their time is up are heard, also by a process that stood still meanwhile."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from outbox_relay.channels.base import timeout_with_grace

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def a_line() -> AsyncIterator[tuple[asyncio.StreamReader, socket.socket]]:
    """Yield where something is heard, and where it is said."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        yield reader, theirs
    finally:
        theirs.close()
        writer.close()
        await writer.wait_closed()


async def heard_after_a_pause(
    limit: Callable[[float], AbstractAsyncContextManager[object]], pause_seconds: float = 0.6
) -> bytes:
    """Listen for 0.2 seconds, while the process stands still for longer and an answer comes."""
    async with a_line() as (reader, theirs):

        async def hear() -> bytes:
            async with limit(0.2):
                return await reader.readline()

        hearing = asyncio.create_task(hear())
        await asyncio.sleep(0)
        theirs.sendall(b"yes\n")
        time.sleep(pause_seconds)  # noqa: ASYNC251 - nothing else is to run
        return await hearing


@pytest.mark.parametrize("pause_seconds", [0.2, 0.21, 0.3, 0.6])
async def test_what_came_while_the_process_stood_still_is_heard(pause_seconds: float) -> None:
    assert await heard_after_a_pause(timeout_with_grace, pause_seconds) == b"yes\n"


async def test_a_plain_timeout_would_not_hear_it() -> None:
    with pytest.raises(TimeoutError):
        await heard_after_a_pause(asyncio.timeout)


async def test_silence_ends_in_time() -> None:
    async with a_line() as (reader, _):
        with pytest.raises(TimeoutError):
            async with timeout_with_grace(0.1):
                await reader.readline()


async def test_what_ends_in_time_is_left_alone() -> None:
    async with timeout_with_grace(0.05):
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
