"""What a peer is told, and how it tells how far it is.

It imports nothing of the project, so that peers do not pay for what they do not use.
"""

import json
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

TALLY = struct.Struct("<qd")
"""How many messages were handled; when the last of them was, in seconds since 1970."""


class Form(StrEnum):
    """What a peer does with a message."""

    USUAL = "usual"
    """Builds the mail and sends it as its users would."""
    PREPARED = "prepared"
    """Is given the mail as bytes, and sends it with the relay's own pipelining sender."""
    NOTHING = "nothing"
    """Takes it, and is done."""


@dataclass(frozen=True)
class Words:
    """A mail's words in one language, with {name} and {code} where those go."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Errand:
    """What to do, with what, and where to tell."""

    form: Form
    is_draining: bool
    """Whether many messages wait; else they come one by one and each is to be quick."""
    smtp_port: int
    connections: int
    pause_seconds: float
    sender: str
    words: dict[str, Words]
    letter: bytes
    folder: Path


@cache
def errand() -> Errand:
    """Read what BENCH_ERRAND says."""
    path = Path(os.environ["BENCH_ERRAND"])
    told = json.loads(path.read_text())
    return Errand(
        form=Form(told["form"]),
        is_draining=told["is_draining"],
        smtp_port=told["smtp_port"],
        connections=told["connections"],
        pause_seconds=told["pause_seconds"],
        sender=told["sender"],
        words={locale: Words(**words) for locale, words in told["words"].items()},
        letter=told["letter"].encode(),
        folder=path.parent,
    )


FILLED, GO_ON = "filled", "go-on"
"""The files whose appearance tells that the first lot is filled in, and that the rest is to follow."""
LOOK_SECONDS = 0.005


def wait_until_told() -> None:
    """Say that the first lot is filled in, and return once the rest is to follow."""
    folder = errand().folder
    (folder / FILLED).touch()
    while not (folder / GO_ON).exists():
        if not folder.exists():
            sys.exit("nobody waits for the rest any more")
        time.sleep(LOOK_SECONDS)


def _nothing() -> None:
    """Do nothing: there is nothing to be made beforehand."""


def act(
    *,
    install: Callable[[], Any] = _nothing,
    fill: Callable[[int], Any],
    trickle: Callable[[int], Any] | None = None,
    work: Callable[[], Any],
    run: Callable[[Any], None] = lambda _done: None,
) -> None:
    """Do what the command line says: fill COUNT [COUNT], trickle COUNT, or else work until told to end.

    To fill begins with installing; the second lot waits until told. What they return goes through ``run``: coroutines
    are only begun so.
    """
    match sys.argv[1:]:
        case ["fill", first, *rest]:
            run(install())
            run(fill(int(first)))
            for count in rest:
                wait_until_told()
                run(fill(int(count)))
        case ["trickle", count] if trickle:
            run(trickle(int(count)))
        case _:
            run(work())


def recipient(number: int) -> str:
    """Return whom the message goes to."""
    return f"user{number}@example.org"


def mail(number: int) -> EmailMessage:
    """Build the message's mail as Python's documentation has it."""
    words = words_for(number)
    built = EmailMessage()
    built["Subject"] = words.subject
    built["From"] = errand().sender
    built["To"] = recipient(number)
    built.set_content(words.text)
    built.add_alternative(words.html, subtype="html")
    return built


def words_for(number: int) -> Words:
    """Return the message's words, filled; by replacement, since braces also stand in the mail's style sheet."""
    words = errand().words["en" if number % 2 else "fr"]
    return Words(*(_filled(text, number) for text in (words.subject, words.text, words.html)))


def _filled(text: str, number: int) -> str:
    return text.replace("{name}", f"User {number}").replace("{code}", f"{number % 1_000_000:06}")


class Tally:
    """How many messages this process has handled, in a file that others can look into at any time."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"tally-{os.getpid()}"
        path.write_bytes(bytes(TALLY.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), TALLY.size)
        self._latencies = (folder / f"latencies-{os.getpid()}").open("w", buffering=1)
        self._guard = threading.Lock()
        self._count = 0

    def add(self, enqueued_at: float) -> None:
        """Count a message, and write down how long it took if it says when it was enqueued."""
        now = time.time()
        with self._guard:
            self._count += 1
            TALLY.pack_into(self._memory, 0, self._count, now)
            if enqueued_at:
                self._latencies.write(f"{(now - enqueued_at) * 1000}\n")


# Two threads must not make the process's tally at once: each would empty the file that the other has mapped.
_making = threading.Lock()


@cache
def _tally_of(_pid: int) -> Tally:
    return Tally(errand().folder)


def handled(enqueued_at: float) -> None:
    """Count a message as delivered; works in threads and in forked processes too."""
    with _making:
        tally = _tally_of(os.getpid())
    tally.add(enqueued_at)
