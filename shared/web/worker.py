"""A gunicorn worker with time limits for clients, and problem documents for requests that gunicorn rejects.

Each request occupies a thread from its first byte on. Without limits, as many clients as threads could block the
service by sending slowly, reading slowly, or stopping.
"""

import errno
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus
from threading import Lock
from types import FrameType
from typing import Any, ClassVar

from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.sock import BaseSocket
from gunicorn.util import close_graceful
from gunicorn.workers import gthread
from gunicorn.workers.gthread import TConn, ThreadWorker

from shared.log import get_logger
from shared.web.app import request_id_for
from shared.web.problems import MEDIA_TYPE, CommonCode, ProblemType, problem_document

REQUEST_SECONDS = 10
"""Time limit for receiving a request, which has at most a few dozen KiB."""
RESPONSE_SECONDS = 20
"""Time limit for reading a response, of which the kernel buffers some hundred KiB."""
LINGER_SECONDS = 1
"""Time limit for the client to close after its last response. A reset could discard the response unread."""
STOP_IDLE_SECONDS = 0.5
"""How long a stopping worker keeps idle connections open. The samples of proxies in deploy close them sooner, so they
lose no request. Either the next request arrives within this time, and its response announces the end, or the proxy
closes. If the worker closed first, a request could be on its way, and a proxy does not repeat a POST."""
MAX_UNREAD_BODY = 32 * 1024
"""To keep a connection, gunicorn reads and drops up to twice as much of an unread body. Otherwise it closes."""

HTTP_1_1 = (1, 1)
"""The first version that requires a Host header."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]{0,5})?")
"""RFC 9110 §7.2, RFC 3986 §3.2.2."""

# Gunicorn has no setting for it.
gthread.STOP_KEEPALIVE_LINGER = STOP_IDLE_SECONDS

log = get_logger("web.worker")


class SlowRequestError(ParseException):  # type: ignore[misc]  # gunicorn ships no types
    """The request did not arrive in time. Not an OSError, which Werkzeug treats as a disconnected client."""


class ClientSocket(socket.socket):
    """A client's socket with time limits for receiving a request and sending its response."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self.give_time(0, 0)

    def give_time(self, request_seconds: float, response_seconds: float) -> None:
        """Set the time from the next request's first byte to its last, and the time for each part of its response.

        Slow progress does not extend the limits.
        """
        self._request_seconds = request_seconds
        self._response_seconds = response_seconds
        self._deadline: float | None = None

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive available data. Raises SlowRequestError after the request's time limit."""
        if self.gettimeout() is not None:
            return super().recv(size, flags)  # a caller that set its own timeout handles it
        if self._deadline is None:
            self._deadline = time.monotonic() + self._request_seconds
        return self._recv_within(self._deadline - time.monotonic(), size, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send a part of a response. Raises BrokenPipeError after the time limit, as for a disconnected client."""
        with self._with_send_timeout():
            super().sendall(data, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send with the same limit: gunicorn's ``100 Continue``."""
        with self._with_send_timeout():
            return super().send(data, flags)

    @contextmanager
    def _with_send_timeout(self) -> Iterator[None]:
        if self.gettimeout() is not None:
            yield
            return
        self.settimeout(self._response_seconds)
        try:
            yield
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the response was not read in time") from None
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


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A worker of a service, which sets ``problem_types``."""

    problem_types: ClassVar[Mapping[StrEnum, ProblemType]]
    wsgi: Any = None
    """The app, or None while it is not created: gunicorn's exit hook also runs for workers that fail early."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # gunicorn creates the file with the time of the wall clock, but compares it with the monotonic clock. A worker
        # that hangs while it starts would never be late.
        self.tmp.notify()
        self._progress_lock = Lock()
        self._busy_threads = 0
        self._has_served = False

    def notify(self) -> None:
        """Report progress to the parent process.

        Report no progress if all threads are busy and no request has finished since the last report. Gunicorn would
        report progress as long as the loop that accepts connections runs.
        """
        with self._progress_lock:
            has_progressed = self._has_served or self._busy_threads < self.cfg.threads
            self._has_served = False
        if has_progressed:
            super().notify()

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's signature
        """Accept connections or not. When the worker stops, accept waiting connections, and close the listeners.

        Gunicorn would close the listeners last. A client that connects while the worker stops would wait for the end,
        and then get a reset.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            if listener.sock is not None:
                self._accept_all(listener)
                listener.close()

    def _accept_all(self, listener: BaseSocket) -> None:
        """Accept all connections that clients have opened."""
        before = -1
        while before != self.nr_conns:
            before = self.nr_conns
            self.accept(listener)

    def handle(self, connection: TConn) -> Any:
        """Serve a request, and count it as progress."""
        with self._progress_lock:
            self._busy_threads += 1
        try:
            return self._handle_in_time(connection)
        finally:
            with self._progress_lock:
                self._busy_threads -= 1
                self._has_served = True

    def _handle_in_time(self, connection: TConn) -> Any:
        """Serve a request within the time limits, and wait here until a client that is to close has closed.

        Gunicorn would wait in the loop that accepts connections.
        """
        if not isinstance(connection.sock, ClientSocket):
            connection.sock = ClientSocket(connection.sock)
        connection.sock.give_time(REQUEST_SECONDS, RESPONSE_SECONDS)
        is_kept = super().handle(connection)
        if not is_kept:
            close_graceful(connection.sock, LINGER_SECONDS)
        return is_kept

    def finish_request(self, connection: TConn, done: "Future[Any]") -> None:
        """Keep the connection, unless ``handle`` has closed it."""
        if done.cancelled() or done.exception() or done.result():
            super().finish_request(connection, done)
        else:
            self.nr_conns -= 1

    def handle_request(self, request: Any, connection: Any) -> Any:
        """Serve a request, and close the connection after one with a long body (RFC 9112 §9.6).

        Raises InvalidHeader if the host is missing or invalid (§3.2). Gunicorn itself rejects duplicates.
        """
        headers = dict(request.headers)
        host = headers.get("HOST")
        has_host = request.version < HTTP_1_1 if host is None else bool(_HOST.fullmatch(host))
        if not has_host:
            raise InvalidHeader("HOST")
        if int(headers.get("CONTENT-LENGTH", 0)) > MAX_UNREAD_BODY:
            request.force_close()
        return super().handle_request(request, connection)

    def handle_error(self, request: Any, client: Any, _address: Any, error: BaseException) -> None:
        """Respond with a problem and log the error's class. Its text and gunicorn's own log line quote the request."""
        code = self.error_code_of(error)
        request_id = request_id_for(_offered_id(request))
        if code is CommonCode.INTERNAL_ERROR:
            log.error("request failed", request_id=request_id, exc_info=error)
        else:
            log.info("request refused unread", error=type(error).__name__, request_id=request_id)
        try:
            client.sendall(
                raw_response(self.problem_types[code], code, request_id, has_body=_method(request) != "HEAD")
            )
        except OSError:
            log.debug("client gone", request_id=request_id)

    def handle_quit(self, signal_number: int, frame: FrameType | None) -> None:
        """Stop as at SIGTERM: finish the requests in progress.

        Gunicorn shuts the thread pool down in the signal handler. If the signal arrives while a request is being
        submitted to the pool, that waits for a lock which the same thread holds.
        """
        self.handle_exit(signal_number, frame)

    def error_code_of(self, error: BaseException) -> StrEnum:
        """Return the code for an error of gunicorn."""
        match error:
            case SlowRequestError():
                return CommonCode.REQUEST_TIMEOUT
            case LimitRequestLine():
                return CommonCode.URI_TOO_LONG
            case LimitRequestHeaders():
                return CommonCode.HEADERS_TOO_LARGE
            case ParseException():
                return CommonCode.BAD_REQUEST
            case _:
                return CommonCode.INTERNAL_ERROR


def _offered_id(request: Any) -> str | None:
    """Return the client's request id, if the headers have been read."""
    return dict(request.headers).get("X-REQUEST-ID") if request else None


def _method(request: Any) -> str | None:
    """Return the method, if it could be read."""
    return getattr(request, "method", None)


def raw_response(problem_type: ProblemType, code: StrEnum, request_id: str, *, has_body: bool = True) -> bytes:
    """Return a complete HTTP/1.1 response with the problem, or its head only."""
    body = json.dumps(problem_document(problem_type, code, request_id)).encode()
    head = (
        f"HTTP/1.1 {problem_type.status} {HTTPStatus(problem_type.status).phrase}\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")
