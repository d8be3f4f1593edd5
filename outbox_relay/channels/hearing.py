"""Time limits on answers, of which one that has come already is heard, however long this process stood still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

GRACE_SECONDS = 0.25
"""For some turns of the event loop, which runs timers that are due before it has looked at its sockets."""


@asynccontextmanager
async def heard_within(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after so many seconds, and a grace in which what has come meanwhile is read."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        timer = loop.call_later(seconds, lambda: limit.reschedule(loop.time() + GRACE_SECONDS))
        try:
            yield
        finally:
            timer.cancel()
