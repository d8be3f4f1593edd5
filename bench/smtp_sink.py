"""An SMTP server that discards mail, and can log when it accepted each one.

One thread per client: an event loop would add a tenth of a millisecond to each reply.
"""

import argparse
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import TextIO

from devstack.ports import LOOPBACK

END_OF_LINE, END_OF_MAIL = b"\r\n", b"\r\n.\r\n"
GREETING, OK, QUEUED = b"220 sink\r\n", b"250 ok\r\n", b"250 queued\r\n"
REPLIES = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 bye\r\n",
}
RECIPIENT = b"RCPT"


class Conversation:
    """One client's SMTP session: takes bytes in pieces of any size, returns replies."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        """The recipients of accepted mails; the caller empties it."""
        self._unread = b""
        self._recipient = ""
        self._in_mail = False

    def receive(self, data: bytes) -> bytes:
        """Return the replies to everything that is complete. They go out in one piece (RFC 2920, section 3.2)."""
        self._unread += data
        return b"".join(self._replies())

    def _replies(self) -> Iterator[bytes]:
        while True:
            piece, end, rest = self._unread.partition(END_OF_MAIL if self._in_mail else END_OF_LINE)
            if not end:
                return
            self._unread = rest
            if self._in_mail:
                self._in_mail = False
                self.accepted.append(self._recipient)
                yield QUEUED
            else:
                yield self._reply_to(piece)

    def _reply_to(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == RECIPIENT:
            self._recipient = line.partition(b"<")[2].partition(b">")[0].decode()
        self._in_mail = verb == b"DATA"
        return REPLIES.get(verb, OK)


def serve(client: socket.socket, log: TextIO) -> None:
    """Reply until the client disconnects."""
    conversation = Conversation()
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(GREETING)
        while data := client.recv(64 * 1024):
            replies = conversation.receive(data)
            log.writelines(f"{time.time()} {recipient}\n" for recipient in conversation.accepted)
            conversation.accepted.clear()
            client.sendall(replies)


def main() -> None:
    """Serve on a loopback port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("log", type=Path, help="where to write time and recipient of each accepted mail")
    options = parser.parse_args()
    with options.log.open("w", buffering=1) as log, socket.create_server((LOOPBACK, options.port)) as server:
        while True:
            client, _ = server.accept()
            Thread(target=serve, args=(client, log), daemon=True).start()


if __name__ == "__main__":
    main()
