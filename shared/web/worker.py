"""A worker of gunicorn's that waits for no client for long, and answers what cannot be read in our form."""

import json
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from enum import StrEnum
from functools import partial
from types import FrameType
from typing import Any, ClassVar

from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from shared.log import get_logger
from shared.web.client_socket import ClientSocket, SlowRequestError
from shared.web.kinds import MEDIA_TYPE, Kind, problem_document
from shared.web.refusals import CommonCode
from shared.web.request_ids import request_id_for

REQUEST_SECONDS = 10
"""How long a request may take to arrive, which with its body is at most a few dozen KiB."""
ANSWER_SECONDS = 20
"""How long a client may take to read its answer, of which the system keeps some hundred KiB by itself."""
LINGER_SECONDS = 2
"""How long a client may take to hang up after its last answer; cut off at once, it might not get to read it."""
MOST_DRAINED = 65_536

MOST_LEFT_UNREAD = 32 * 1024
"""Of a body that nobody reads gunicorn drops twice as much, to keep the connection; for more it hangs up."""

HTTP_1_1 = (1, 1)
"""From this version on a request says which host it is for."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]{0,5})?")
"""RFC 9110 §7.2, RFC 3986 §3.2.2."""

log = get_logger("web.worker")


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A worker of a service, whose ``kinds`` say what it refuses a request with."""

    kinds: ClassVar[Mapping[StrEnum, Kind]]
    wsgi: Any = None
    """The app, once it is made: gunicorn tells of workers that end before that, too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._parted: deque[TConn] = deque()

    def handle(self, connection: TConn) -> Any:
        """Serve a request on the connection, if it arrives in time and its answer is read."""
        if not isinstance(connection.sock, ClientSocket):
            connection.sock = ClientSocket(connection.sock)
        connection.sock.give_time(REQUEST_SECONDS, ANSWER_SECONDS)
        return super().handle(connection)

    def finish_request(self, connection: TConn, done: "Future[Any]") -> None:
        """Keep the connection, or part from it without keeping anybody waiting.

        Gunicorn's own parting waits for the client in the loop that accepts all others.
        """
        is_to_close = not (done.cancelled() or done.exception() or done.result())
        if is_to_close and self.alive:
            self._part(connection)
        else:
            super().finish_request(connection, done)

    def _part(self, connection: TConn) -> None:
        """Say that no more will come, and let the poller see the client hang up (RFC 9112 §9.6)."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            connection.sock.settimeout(0)
        except OSError:
            self._close(connection)
            return
        connection.timeout = time.monotonic() + LINGER_SECONDS
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._drain, connection))
        self._parted.append(connection)

    def _drain(self, connection: TConn, client: ClientSocket) -> None:
        """Drop what still comes; close when the client has."""
        try:
            if client.recv(MOST_DRAINED):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._parted.remove(connection)
        self._cut_off(connection)

    def murder_pending(self) -> None:
        """Close those whose time is up, in each round of the loop; who was parted from has less time than others."""
        super().murder_pending()
        while self._parted and self._parted[0].timeout <= time.monotonic():
            self._cut_off(self._parted.popleft())

    def _cut_off(self, connection: TConn) -> None:
        self.poller.unregister(connection.sock)
        self._close(connection)

    def _close(self, connection: TConn) -> None:
        self.nr_conns -= 1
        connection.close()

    def handle_request(self, request: Any, connection: Any) -> Any:
        """Answer a request; one whose body is too long is told that the connection ends with it (RFC 9112 §9.6).

        Raises InvalidHeader where the host is missing, or none (§3.2); that it comes twice is refused by gunicorn.
        """
        headers = dict(request.headers)
        host = headers.get("HOST")
        has_host = request.version < HTTP_1_1 if host is None else bool(_HOST.fullmatch(host))
        if not has_host:
            raise InvalidHeader("HOST")
        if int(headers.get("CONTENT-LENGTH", 0)) > MOST_LEFT_UNREAD:
            request.force_close()
        return super().handle_request(request, connection)

    def handle_error(self, request: Any, client: Any, _address: Any, error: BaseException) -> None:
        """Answer with a problem and log the error's class: its text, and gunicorn's line, quote the request."""
        code = self.refusal_of(error)
        request_id = request_id_for(_offered_id(request))
        if code is CommonCode.INTERNAL_ERROR:
            log.error("request failed", request_id=request_id, exc_info=error)
        else:
            log.info("request refused unread", error=type(error).__name__, request_id=request_id)
        try:
            client.sendall(raw_answer(self.kinds[code], code, request_id, has_body=_method(request) != "HEAD"))
        except OSError:
            log.debug("client gone", request_id=request_id)

    def handle_quit(self, signal_number: int, frame: FrameType | None) -> None:
        """End as at SIGTERM: whoever has asked is answered.

        Gunicorn's own way shuts the pool of threads right here, in the handler of a signal. Where that comes while the
        pool is given a request, it waits for a lock that is held by itself.
        """
        self.handle_exit(signal_number, frame)

    def refusal_of(self, error: BaseException) -> StrEnum:
        """Decide what to call an error of gunicorn's."""
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
    """Return the client's own id for the request, if its headers have been read."""
    return dict(request.headers).get("X-REQUEST-ID") if request else None


def _method(request: Any) -> str | None:
    """Return what was asked for, if that could be read."""
    return getattr(request, "method", None)


def raw_answer(kind: Kind, code: StrEnum, request_id: str, *, has_body: bool = True) -> bytes:
    """Return a whole HTTP/1.1 answer with the problem, or what it would have begun with."""
    body = json.dumps(problem_document(kind, code, request_id)).encode()
    head = (
        f"HTTP/1.1 {kind.status.value} {kind.status.phrase}\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")
