"""A client's socket that gives each request so long to arrive whole: its first line, its headers, its body.

A thread is the request's own from its first byte on. Without a bound, as many clients as there are
threads could stop the service by sending slowly, or no more at all.
"""

import socket
import time

from gunicorn.http.errors import ParseException


class SlowRequestError(ParseException):  # type: ignore[misc]  # gunicorn ships no types
    """The request did not arrive in time. Not an OSError: Werkzeug would take it for a client that hung up."""


class ClientSocket(socket.socket):
    """Takes an accepted connection over."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self.expect_request(0)

    def expect_request(self, seconds: float) -> None:
        """Give the next request so many seconds from its first byte on; a byte now and then buys no more."""
        self._seconds = seconds
        self._deadline: float | None = None

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive what is there. Raises SlowRequestError when the request's time is up."""
        if self.gettimeout() is not None:
            return super().recv(size, flags)  # whoever set a timeout reads no request, and knows what to do
        if self._deadline is None:
            self._deadline = time.monotonic() + self._seconds
        return self._recv_within(self._deadline - time.monotonic(), size, flags)

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
