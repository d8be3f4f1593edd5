"""A TCP proxy: a network connection that a test can cut or silence."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from devstack.ports import free_port

LOOPBACK = "127.0.0.1"

Pair = tuple[socket.socket, socket.socket]


class TcpProxy:
    """The proxied connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pairs: list[Pair] = []
        self._silent: set[socket.socket] = set()
        self._giving = threading.Lock()
        self._is_holding = False
        self._held: dict[socket.socket, bytes] = {}
        self.reply_seconds = 0.0
        """The delay of each piece that the far end sends."""

    def fall_silent(self) -> None:
        """Stop forwarding on the open connections without closing them, so each end waits for the other.

        The proxy still acknowledges bytes, so TCP detects no fault. It forwards new connections as usual.
        """
        self._silent.update(end for pair in self.pairs for end in pair)

    @property
    def held_bytes(self) -> int:
        return sum(map(len, self._held.values()))

    def hold_answers(self) -> None:
        """Hold the replies of the far end until ``release`` forwards them, one piece per connection."""
        self._is_holding = True

    def release(self) -> None:
        with self._giving:
            self._is_holding = False
            for near, kept in self._held.items():
                near.sendall(kept)
            self._held.clear()

    def give(self, chunk: bytes, target: socket.socket) -> None:
        if self.reply_seconds and any(target is near for near, _ in self.pairs):
            time.sleep(self.reply_seconds)
        with self._giving:
            if self._is_holding and any(target is near for near, _ in self.pairs):
                self._held[target] = self._held.get(target, b"") + chunk
            else:
                target.sendall(chunk)

    def carries(self, source: socket.socket) -> bool:
        return source not in self._silent


@contextmanager
def forwarding(port: int, *, to: int, host: str = LOOPBACK) -> Iterator[TcpProxy]:
    """Forward connections on that port of ``host`` (0: any port) to a loopback port. Close all at the end."""
    with socket.create_server((host, port)) as listener:
        proxy = TcpProxy(int(listener.getsockname()[1]))
        accepting = threading.Thread(target=_accept, args=(listener, to, proxy), daemon=True)
        accepting.start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()  # accepts no connection after the cut
    for end in (end for pair in proxy.pairs for end in pair):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def is_open(port: int) -> bool:
    """Return whether a server listens on the port."""
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=30):
        return True
    return False


def unused_port() -> int:
    """Return an unused loopback port, reserved for this process."""
    return free_port()


def _accept(listener: socket.socket, to: int, proxy: TcpProxy) -> None:
    with suppress(OSError):
        while True:
            near, _ = listener.accept()
            far = _reached(to, near)
            proxy.pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, target, proxy), daemon=True).start()


def _reached(to: int, near: socket.socket) -> socket.socket:
    """Connect to the far end. If the connection fails, close the near end."""
    try:
        return socket.create_connection((LOOPBACK, to))
    except OSError:
        near.close()
        raise


def _pump(source: socket.socket, target: socket.socket, proxy: TcpProxy) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            if proxy.carries(source):
                proxy.give(chunk, target)
        if proxy.carries(source):
            target.shutdown(socket.SHUT_WR)
