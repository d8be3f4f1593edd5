"""A mail sink that writes down when it accepted each mail, and answers at once: a thread waits for each client.

An event loop would add a tenth of a millisecond to each answer, and tell it as the relay's.
"""

import argparse
import socket
import time
from pathlib import Path
from threading import Thread
from typing import TextIO

from bench.conversation import GREETING, QUEUED, Conversation
from devstack.ports import LOOPBACK

MOST_AT_ONCE = 64 * 1024


def talk(client: socket.socket, times: TextIO) -> None:
    """Answer until the client is gone. What came in one piece is answered in one, as Postfix does (RFC 2920 §3.2)."""
    conversation = Conversation()
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(GREETING)
        while heard := client.recv(MOST_AT_ONCE):
            conversation.hear(heard)
            answers = list(iter(conversation.next, None))
            times.writelines(f"{time.time()}\n" for _ in range(answers.count(QUEUED)))
            client.sendall(b"".join(answers))


def main() -> None:
    """Serve on a port of loopback."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("times", type=Path, help="where to write when each mail was accepted")
    given = parser.parse_args()
    with given.times.open("w", buffering=1) as times, socket.create_server((LOOPBACK, given.port)) as server:
        while True:
            client, _ = server.accept()
            Thread(target=talk, args=(client, times), daemon=True).start()


if __name__ == "__main__":
    main()
