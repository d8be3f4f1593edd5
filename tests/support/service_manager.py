"""What systemd would hear from a process: the datagrams that it sends to NOTIFY_SOCKET."""

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.eventually import eventually


@dataclass
class Supervisor:
    """The facts told so far, in their order."""

    path: Path
    facts: list[str] = field(default_factory=list)

    def environment(self, beat_microseconds: int = 50_000) -> dict[str, str]:
        """Return what a supervised process finds in its environment; it is to be heard of twice in that time."""
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(2 * beat_microseconds)}

    def wait_for(self, fact: str, *, count: int = 1) -> None:
        """Return once facts that begin so were told that often."""
        eventually(lambda: sum(told.startswith(fact) for told in list(self.facts)) >= count)

    def told_after(self, fact: str) -> list[str]:
        """Return what was told after the last fact that begins so."""
        facts = list(self.facts)
        last = max(position for position, told in enumerate(facts) if told.startswith(fact))
        return facts[last + 1 :]


@contextmanager
def supervisor() -> Iterator[Supervisor]:
    with (
        tempfile.TemporaryDirectory(prefix="signpost-notify-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox,
    ):
        listening = Supervisor(Path(folder) / "notify")
        mailbox.bind(str(listening.path))

        def listen() -> None:
            while datagram := mailbox.recv(4096):
                listening.facts.extend(datagram.decode().splitlines())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listening
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(listening.path))
        thread.join()
