"""The relay's own SMTP sender, bare: no database, no rendering. What it reaches is the limit of the rest."""

import argparse
import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from uuid import UUID

from devstack.ports import LOOPBACK
from outbox_relay.channels.smtp.dialogue import Server, Tls
from outbox_relay.channels.smtp.session import SmtpProvider
from outbox_relay.messages import ClaimedMessage, Letter
from outbox_relay.outcomes import Failure, Sent
from shared.ids import uuid7
from shared.vocabulary import Channel, Locale, Template

LETTER_BYTES = 2048
TIMEOUT_SECONDS = 30.0
ANY_LETTER = (b"Subject: bench\r\n\r\n" + b"x" * 70 + b"\r\n" * 28).ljust(LETTER_BYTES - 2, b"y") + b"\r\n"


class _Heap:
    """Letters made beforehand; the fates are counted and must all be Sent."""

    def __init__(self, letters: int, content: bytes) -> None:
        self._waiting = deque(letter_of(content) for _ in range(letters))
        self.sent = 0

    def take(self) -> Letter | None:
        return self._waiting.popleft() if self._waiting else None

    def report(self, letter: Letter, fate: Sent | Failure) -> None:
        match fate:
            case Sent():
                self.sent += 1
            case Failure():
                raise RuntimeError(f"{letter.message.id}: {fate.error}")


def letter_of(content: bytes) -> Letter:
    """Return a letter with a message of its own and this content."""
    message = ClaimedMessage(
        id=uuid7(),
        template=Template.ACTIVATION,
        channel=Channel.EMAIL,
        recipient="someone@example.org",
        locale=Locale.EN,
        payload={},
        token_id=None,
        attempt=0,
        max_attempts=1,
        expiries=0,
        created_at=datetime.now(UTC),
        due_at=datetime.now(UTC),
        expires_at=None,
        lease_token=UUID(int=0),
        lease_ends_monotonic=0.0,
        expires_monotonic=0.0,
        enqueued_monotonic=0.0,
    )
    return Letter(message, content, taken_monotonic=0.0)


def provider_of(host: str, port: int) -> SmtpProvider:
    """Return the SMTP server there, spoken to in clear."""
    server = Server(host, port, Tls.NONE, credentials=None, ssl_context=None, timeout=TIMEOUT_SECONDS)
    return SmtpProvider(server, "bench@example.org")


async def send_bare(port: int, letters: int, connections: int, content: bytes = ANY_LETTER) -> float:
    """Send so many letters over so many connections to a port of loopback; return the seconds it took.

    Connecting is not counted. Raises if a letter is not accepted.
    """
    provider = provider_of(LOOPBACK, port)
    sessions = [provider.session() for _ in range(connections)]
    await asyncio.gather(*(session.carry(_Heap(0, content)) for session in sessions))
    heap = _Heap(letters, content)
    begun = time.perf_counter()
    await asyncio.gather(*(session.carry(heap) for session in sessions))
    took = time.perf_counter() - begun
    await asyncio.gather(*(session.close() for session in sessions))
    if heap.sent != letters:
        raise RuntimeError(f"{heap.sent} of {letters} letters were reported as sent")
    return took


def main() -> None:
    """Measure against an SMTP server that is running already, such as Postfix's smtp-sink."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--letters", type=int, default=40_000)
    parser.add_argument("--connections", type=int, default=8)
    given = parser.parse_args()
    cpu = time.process_time()
    took = asyncio.run(send_bare(given.port, given.letters, given.connections))
    cpu = time.process_time() - cpu
    print(f"{given.letters / took:,.0f} letters/s; at most {cpu / given.letters * 1e6:.1f} µs of CPU each")


if __name__ == "__main__":
    main()
