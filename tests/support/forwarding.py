"""A TCP port that leads to another one for as long as wanted: a network that can be cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def forwarding(port: int, *, to: int) -> Iterator[None]:
    """Lead connections to that port of loopback on to another; cut them all at the end."""
    pairs: list[tuple[socket.socket, socket.socket]] = []
    with socket.create_server(("127.0.0.1", port)) as listener:
        threading.Thread(target=_accept, args=(listener, to, pairs), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
    for end in (end for pair in pairs for end in pair):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def unused_port() -> int:
    """Return a port of loopback that nothing listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _accept(listener: socket.socket, to: int, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    with suppress(OSError):
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", to))
            pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
