"""Waiting to the microsecond: asyncio's own way, by epoll, rounds each wait up to a whole millisecond."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run as ``asyncio.run`` does, with waits by select(2): for as many connections as that takes, a thousand."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serving)
