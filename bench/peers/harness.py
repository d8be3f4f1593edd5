"""Parts of all peer programs: configuration, counting, and commands. Imports nothing of Signpost."""

import asyncio
import json
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

SEND, NOOP = "send", "noop"
"""The handler's work: build the mail and send it as the peer's users would, or return at once."""
COUNTER = struct.Struct("<qd")
"""How many messages a process has handled, and when the last of them, in seconds since 1970."""
TRICKLE_FROM = 1_000_000
"""The number of the first message that ``trickle`` enqueues: its recipient differs from all others."""
CHUNK = 1_000

Enqueue = Callable[[Sequence[int]], Awaitable[None]]
"""Enqueues the messages with these numbers in one call."""


class Config(NamedTuple):
    """The interface of a peer program."""

    handler: str
    is_draining: bool
    """Whether to prefer throughput to latency."""
    smtp_port: int
    connections: int
    """SMTP connections of each process."""
    sender: str
    texts: dict[str, dict[str, str]]
    """By language: subject, text and html, with the placeholders {name} and {code}."""


@cache
def config() -> Config:
    """Read the file that BENCH_CONFIG names."""
    return Config(**json.loads(Path(os.environ["BENCH_CONFIG"]).read_text()))


def main(
    *,
    client: Callable[[], AbstractAsyncContextManager[Enqueue]],
    work: Callable[[], Any],
    install: Callable[[], Any] = lambda: None,
) -> None:
    """Do what the command line says. ``install`` and ``work`` may be coroutine functions."""
    match sys.argv[1:]:
        case ["install", count]:
            _run(install())
            asyncio.run(_enqueue(client, int(count)))
        case ["enqueue", count]:
            asyncio.run(_enqueue(client, int(count)))
        case ["trickle", count, pause]:
            asyncio.run(_trickle(client, int(count), float(pause)))
        case _:
            _run(work())


def _run(result: Any) -> None:
    if asyncio.iscoroutine(result):
        asyncio.run(result)


async def _enqueue(client: Callable[[], AbstractAsyncContextManager[Enqueue]], count: int) -> None:
    async with client() as enqueue:
        for start in range(0, count, CHUNK):
            await enqueue(range(start, min(count, start + CHUNK)))


async def _trickle(client: Callable[[], AbstractAsyncContextManager[Enqueue]], count: int, pause: float) -> None:
    async with client() as enqueue:
        for number in range(TRICKLE_FROM, TRICKLE_FROM + count):
            print(time.time())
            await enqueue([number])
            await asyncio.sleep(pause)


def recipient(number: int) -> str:
    """Return the address that the message goes to."""
    return f"user{number}@example.org"


def texts(number: int) -> dict[str, str]:
    """Return the message's subject, text and html."""
    texts_in_language = config().texts["en" if number % 2 else "fr"]
    # The style sheet has braces, so str.format does not work.
    return {
        kind: text.replace("{name}", f"User {number}").replace("{code}", f"{number % 1_000_000:06}")
        for kind, text in texts_in_language.items()
    }


def mail(number: int) -> EmailMessage:
    """Build the message's mail as in Python's documentation."""
    content = texts(number)
    built = EmailMessage()
    built["Subject"] = content["subject"]
    built["From"] = config().sender
    built["To"] = recipient(number)
    built.set_content(content["text"])
    built.add_alternative(content["html"], subtype="html")
    return built


class Counter:
    """Counts handled messages in a memory-mapped file, which the benchmark can read at any time."""

    def __init__(self) -> None:
        path = Path(os.environ["BENCH_CONFIG"]).with_name(f"handled-{os.getpid()}")
        path.write_bytes(bytes(COUNTER.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), COUNTER.size)
        self._lock = threading.Lock()
        self._count = 0

    def add(self) -> None:
        """Count one message."""
        with self._lock:
            self._count += 1
            COUNTER.pack_into(self._memory, 0, self._count, time.time())


@cache
def _counter_of(_pid: int) -> Counter:
    return Counter()


# Two threads must not create the counter of their process at the same time.
_creating = threading.Lock()


def handled() -> None:
    """Count a message as handled. Works in threads and in forked processes."""
    with _creating:
        counter = _counter_of(os.getpid())
    counter.add()
