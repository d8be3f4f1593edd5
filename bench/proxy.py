"""A road that takes its time: a port that leads to another, half a round trip later in each direction.

Bytes keep their order, and those that follow do not wait for those before them: it is long, not narrow.
"""

import argparse
import asyncio
from typing import cast

from bench import fine_waits
from devstack.ports import LOOPBACK


class End(asyncio.Protocol):
    """One end of the road: what it hears, the other end says so many seconds later."""

    transport: asyncio.Transport

    def __init__(self, delay: float) -> None:
        self.other: End | None = None
        self._delay = delay
        self._later = asyncio.get_running_loop().call_later
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to hear."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send it on its way."""
        self._later(self._delay, self._arrive, data)

    def eof_received(self) -> bool:
        """Send on its way that nothing follows, and go on to say what comes from the other end."""
        self._later(self._delay, self._arrive, b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End the other one, once it has said all."""
        if self.other:
            self._later(self._delay, self.other.transport.close)

    def lead_to(self, other: "End") -> None:
        """Have another end from now on, which says what has arrived already."""
        self.other = other
        for data in self._early:
            self._arrive(data)

    def _arrive(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        elif data:
            self.other.transport.write(data)
        else:
            self.other.transport.write_eof()


class NearEnd(End):
    """The end that was connected to, which connects another."""

    def __init__(self, delay: float, target_port: int) -> None:
        super().__init__(delay)
        self._target_port = target_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Lead on to the other end."""
        super().connection_made(transport)
        self._leading = asyncio.get_running_loop().create_task(self._lead())

    async def _lead(self) -> None:
        other = End(self._delay)
        other.other = self
        try:
            await asyncio.get_running_loop().create_connection(lambda: other, LOOPBACK, self._target_port)
        except OSError:
            self.transport.abort()
            return
        self.lead_to(other)
        if self.transport.is_closing():
            other.transport.close()


async def serve(port: int, target_port: int, round_trip: float) -> None:
    """Lead connections to one port of loopback on to another, until ended."""
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: NearEnd(round_trip / 2, target_port), LOOPBACK, port) as server:
        await server.serve_forever()


def main() -> None:
    """Serve on a port of loopback."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("target_port", type=int)
    parser.add_argument("milliseconds", type=float, help="of a round trip")
    given = parser.parse_args()
    fine_waits.run(serve(given.port, given.target_port, given.milliseconds / 1000))


if __name__ == "__main__":
    main()
