"""A fake systemd: it receives the datagrams that a process sends to NOTIFY_SOCKET."""

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
    """The notifications received so far, in order."""

    path: Path
    notifications: list[str] = field(default_factory=list)

    def environment(self, ping_microseconds: int = 50_000) -> dict[str, str]:
        """Return the environment of a supervised process, which must send two pings in each timeout."""
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(2 * ping_microseconds)}

    def wait_for(self, prefix: str, *, count: int = 1) -> None:
        """Wait until that many notifications with this prefix have arrived."""
        eventually(lambda: sum(received.startswith(prefix) for received in list(self.notifications)) >= count)

    def notifications_after(self, prefix: str) -> list[str]:
        """Return the notifications after the last one with this prefix."""
        notifications = list(self.notifications)
        last = max(position for position, received in enumerate(notifications) if received.startswith(prefix))
        return notifications[last + 1 :]


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
                listening.notifications.extend(datagram.decode().splitlines())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listening
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(listening.path))
        thread.join()
