"""A mail sink of our own, for machines without Postfix's, and one that is slow or hangs."""

import argparse
import asyncio
from functools import partial
from typing import cast

from bench import fine_waits
from bench.conversation import GREETING, QUEUED, Conversation
from devstack.ports import LOOPBACK


class Talk(asyncio.Protocol):
    """Takes whatever comes, and takes so long for each mail.

    What came in one piece is answered in one, as Postfix does (RFC 2920 §3.2).
    """

    _transport: asyncio.Transport

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._conversation = Conversation()
        self._is_thinking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._conversation.hear(data)
        self._go_on()

    def _go_on(self) -> None:
        answers: list[bytes] = []
        while not self._is_thinking and (answer := self._conversation.next()):
            if answer is QUEUED and self._seconds:
                self._is_thinking = True
                asyncio.get_running_loop().call_later(self._seconds, self._accept_late)
            else:
                answers.append(answer)
        self._transport.write(b"".join(answers))

    def _accept_late(self) -> None:
        self._is_thinking = False
        self._transport.write(QUEUED)
        self._go_on()


class Hang(asyncio.Protocol):
    """Takes the connection and says nothing, ever."""


async def serve(port: int, *, is_hanging: bool, milliseconds: int) -> None:
    """Listen until ended."""
    talking = Hang if is_hanging else partial(Talk, seconds=milliseconds / 1000)
    async with await asyncio.get_running_loop().create_server(talking, LOOPBACK, port) as server:
        await server.serve_forever()


def main() -> None:
    """Serve on a port of loopback."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--milliseconds", type=int, default=0, help="how long each mail takes")
    given = parser.parse_args()
    fine_waits.run(serve(given.port, is_hanging=given.hang, milliseconds=given.milliseconds))


if __name__ == "__main__":
    main()
