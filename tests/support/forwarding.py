"""A TCP port that leads to another one for as long as wanted: a network that can be cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from devstack.ports import free_port

LOOPBACK = "127.0.0.1"

Pair = tuple[socket.socket, socket.socket]


class Road:
    """The connections that go over it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pairs: list[Pair] = []
        self._silent: set[socket.socket] = set()
        self._giving = threading.Lock()
        self._is_holding = False
        self._held: dict[socket.socket, bytes] = {}

    def fall_silent(self) -> None:
        """Carry nothing more on the connections that there are, and close none: each end waits for the other.

        Their bytes go on being acknowledged, so TCP sees nothing wrong. New connections are carried as ever.
        """
        self._silent.update(end for pair in self.pairs for end in pair)

    @property
    def held_bytes(self) -> int:
        return sum(map(len, self._held.values()))

    def hold_answers(self) -> None:
        """Keep what comes from the far end, until ``release`` hands it on, to each in one piece."""
        self._is_holding = True

    def release(self) -> None:
        with self._giving:
            self._is_holding = False
            for near, kept in self._held.items():
                near.sendall(kept)
            self._held.clear()

    def give(self, chunk: bytes, target: socket.socket) -> None:
        with self._giving:
            if self._is_holding and any(target is near for near, _ in self.pairs):
                self._held[target] = self._held.get(target, b"") + chunk
            else:
                target.sendall(chunk)

    def carries(self, source: socket.socket) -> bool:
        return source not in self._silent


@contextmanager
def forwarding(port: int, *, to: int, host: str = LOOPBACK) -> Iterator[Road]:
    """Lead connections to that port of ``host``, any if it is 0, on to another of loopback; cut them all at the end."""
    with socket.create_server((host, port)) as listener:
        road = Road(int(listener.getsockname()[1]))
        accepting = threading.Thread(target=_accept, args=(listener, to, road), daemon=True)
        accepting.start()
        yield road
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()  # so that no connection comes after the cut
    for end in (end for pair in road.pairs for end in pair):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def unused_port() -> int:
    """Return a port of loopback that nothing listens on, reserved for this process."""
    return free_port()


def _accept(listener: socket.socket, to: int, road: Road) -> None:
    with suppress(OSError):
        while True:
            near, _ = listener.accept()
            far = _reached(to, near)
            road.pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, target, road), daemon=True).start()


def _reached(to: int, near: socket.socket) -> socket.socket:
    """Connect to the other end; where nobody listens there, hang up at this one."""
    try:
        return socket.create_connection((LOOPBACK, to))
    except OSError:
        near.close()
        raise


def _pump(source: socket.socket, target: socket.socket, road: Road) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            if road.carries(source):
                road.give(chunk, target)
        if road.carries(source):
            target.shutdown(socket.SHUT_WR)
