"""A client's socket that gives each request so long to arrive whole, and each answer so long to be read.

A thread is the request's own from its first byte on. Without a bound, as many clients as there are
threads could stop the service by sending slowly, by reading slowly, or by doing neither any more.
"""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gunicorn.http.errors import ParseException


class SlowRequestError(ParseException):  # type: ignore[misc]  # gunicorn ships no types
    """The request did not arrive in time. Not an OSError: Werkzeug would take it for a client that hung up."""


class ClientSocket(socket.socket):
    """Takes an accepted connection over."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self.give_time(0, 0)

    def give_time(self, request_seconds: float, answer_seconds: float) -> None:
        """Give the next request so many seconds from its first byte on, and each part of its answer so many.

        A byte now and then, sent or read, buys no more.
        """
        self._request_seconds = request_seconds
        self._answer_seconds = answer_seconds
        self._deadline: float | None = None

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive what is there. Raises SlowRequestError when the request's time is up."""
        if self.gettimeout() is not None:
            return super().recv(size, flags)  # whoever set a timeout serves no request, and knows what to do
        if self._deadline is None:
            self._deadline = time.monotonic() + self._request_seconds
        return self._recv_within(self._deadline - time.monotonic(), size, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send a part of an answer. Raises BrokenPipeError, as at a client that is gone, when its time is up."""
        with self._while_it_is_read():
            super().sendall(data, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send what there is room for, likewise: the server's ``100 Continue``."""
        with self._while_it_is_read():
            return super().send(data, flags)

    @contextmanager
    def _while_it_is_read(self) -> Iterator[None]:
        if self.gettimeout() is not None:
            yield
            return
        self.settimeout(self._answer_seconds)
        try:
            yield
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the answer was not read in time") from None
        finally:
            self.settimeout(None)

    def _recv_within(self, seconds: float, size: int, flags: int) -> bytes:
        if seconds <= 0:
            raise SlowRequestError
        self.settimeout(seconds)
        try:
            return super().recv(size, flags)
        except TimeoutError:
            raise SlowRequestError from None
        finally:
            self.settimeout(None)
