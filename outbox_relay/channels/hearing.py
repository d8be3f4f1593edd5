"""Time limits on answers, of which one that has come already is heard, however long this process stood still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LATE_SECONDS = 0.25
"""A timer that is later than this was not late for want of a turn: the process stood still."""
GRACE_SECONDS = 1.0
"""For reading what came meanwhile, which the event loop looks at after its timers."""


@asynccontextmanager
async def heard_within(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after so many seconds; a process that stood still when they ended first hears what came."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    async with asyncio.timeout(None) as limit:

        def look() -> None:
            now = loop.time()
            limit.reschedule(now + GRACE_SECONDS if now > end + LATE_SECONDS else now)

        timer = loop.call_at(end, look)
        try:
            yield
        finally:
            timer.cancel()
