"""A proxy that makes the way to a server longer: every byte arrives so much later, and none waits for another.

`python -m bench.delay 2525 25 --milliseconds 10` makes a round trip of 20 ms of that port of loopback.
"""

import argparse
import asyncio
from collections.abc import Callable

from devstack.ports import LOOPBACK


class _Way(asyncio.Protocol):
    """One end of a connection; what comes in here leaves at the other end, later."""

    def __init__(self, delay: float, begun: Callable[["_Way"], None]) -> None:
        self._delay = delay
        self._begun = begun
        self._call_later = asyncio.get_running_loop().call_later
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self.other: _Way | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._begun(self)

    def data_received(self, data: bytes) -> None:
        # Timers set for the same delay ring in the order in which they were set.
        self._call_later(self._delay, self._pass_on, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None or self.other:
            self._call_later(self._delay, self._close_other)

    def meet(self, other: "_Way") -> None:
        """Know the other end from now on, and give it what has come meanwhile."""
        self.other = other
        for data in self._early:
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        elif self.other._transport:  # noqa: SLF001 - the other end is one of these
            self.other._transport.write(data)  # noqa: SLF001 - likewise

    def _close_other(self) -> None:
        if self.other and self.other._transport:  # noqa: SLF001 - likewise
            self.other._transport.close()  # noqa: SLF001 - likewise


async def serve(port: int, target: int, delay: float) -> None:
    """Listen until ended; ``delay`` is in seconds, each way."""
    loop = asyncio.get_running_loop()
    connecting: set[asyncio.Task[None]] = set()

    async def connect(near: _Way) -> None:
        await asyncio.sleep(delay)
        _, far = await loop.create_connection(lambda: _Way(delay, lambda _: None), LOOPBACK, target)
        far.meet(near)
        near.meet(far)

    def came(near: _Way) -> None:
        task = loop.create_task(connect(near))
        connecting.add(task)
        task.add_done_callback(connecting.discard)

    server = await loop.create_server(lambda: _Way(delay, came), LOOPBACK, port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve on a port of loopback."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("target", type=int)
    parser.add_argument("--milliseconds", type=float, default=10.0, help="each way")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.target, given.milliseconds / 1000))


if __name__ == "__main__":
    main()
