"""A mail sink of our own, for machines without Postfix's, and one that is slow or hangs."""

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

from bench import fine_waits
from devstack.ports import LOOPBACK

END_OF_LINE = b"\r\n"
END_OF_MAIL = b"\r\n.\r\n"
ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 bye\r\n",
}


class Talk(asyncio.Protocol):
    """Takes whatever comes, and takes so long for each mail; ``accepted`` is called with each yes.

    What came in one piece is answered in one, as Postfix does (RFC 2920 §3.2).
    """

    _transport: asyncio.Transport

    def __init__(self, *, seconds: float, accepted: Callable[[], object]) -> None:
        self._seconds = seconds
        self._accepted = accepted
        self._unread = b""
        self._is_in_mail = False
        self._is_thinking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._unread += data
        self._go_on()

    def _go_on(self) -> None:
        answers: list[bytes] = []
        while not self._is_thinking:
            piece, end, rest = self._unread.partition(END_OF_MAIL if self._is_in_mail else END_OF_LINE)
            if not end:
                break
            self._unread = rest
            answers += self._answers_to(piece)
        self._transport.write(b"".join(answers))

    def _answers_to(self, piece: bytes) -> Iterator[bytes]:
        if not self._is_in_mail:
            verb = piece[:4].upper()
            self._is_in_mail = verb == b"DATA"
            yield ANSWERS.get(verb, b"250 ok\r\n")
        elif self._seconds:
            self._is_thinking = True
            asyncio.get_running_loop().call_later(self._seconds, self._accept_late)
        else:
            yield self._yes()

    def _accept_late(self) -> None:
        self._is_thinking = False
        self._transport.write(self._yes())
        self._go_on()

    def _yes(self) -> bytes:
        self._is_in_mail = False
        self._accepted()
        return b"250 queued\r\n"


class Hang(asyncio.Protocol):
    """Takes the connection and says nothing, ever."""


async def serve(port: int, *, is_hanging: bool, milliseconds: int, times: Path) -> None:
    """Listen until ended."""
    with times.open("w", buffering=1) as told:
        talking = partial(Talk, seconds=milliseconds / 1000, accepted=lambda: told.write(f"{time.time()}\n"))
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Hang if is_hanging else talking, LOOPBACK, port) as server:
            await server.serve_forever()


def main() -> None:
    """Serve on a port of loopback."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--milliseconds", type=int, default=0, help="how long each mail takes")
    parser.add_argument("--times", type=Path, default=os.devnull, help="where to write when each mail was accepted")
    given = parser.parse_args()
    fine_waits.run(serve(given.port, is_hanging=given.hang, milliseconds=given.milliseconds, times=Path(given.times)))


if __name__ == "__main__":
    main()
