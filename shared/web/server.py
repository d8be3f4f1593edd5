"""Serving an app with gunicorn, in processes of threads that tell of themselves as the rest of us does."""

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import FrameType
from typing import Any, ClassVar

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from shared.log import get_logger
from shared.urls import place
from shared.web.kinds import MEDIA_TYPE, Kind, problem_document
from shared.web.refusals import CommonCode
from shared.web.request_ids import request_id_for

MOST_LEFT_UNREAD = 32 * 1024
"""Of a body that nobody reads gunicorn drops twice as much, to keep the connection; for more it hangs up."""

HTTP_1_1 = (1, 1)
"""From this version on a request says which host it is for."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]{0,5})?")
"""RFC 9110 §7.2, RFC 3986 §3.2.2."""

log = get_logger("web.server")


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """An app under gunicorn, told everything by our settings and nothing by gunicorn's own."""

    def __init__(self, configuration: Mapping[str, Any], make_app: Callable[[], Flask]) -> None:
        self._configuration = configuration
        self._make_app = make_app
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its configuration."""
        for name, value in self._configuration.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app, in each worker after the fork."""
        return self._make_app()


def listening_at(bind: tuple[str, int]) -> dict[str, Any]:
    """Return what is configured alike for whatever is served."""
    return {
        "bind": place(*bind),
        "logger_class": QuietLogger,
        "control_socket_disable": True,
    }


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's lines, in our form and from warnings up; requests are logged by ``observing``."""

    def setup(self, cfg: Any) -> None:
        """Hand everything to the root logger, which ``shared.log`` has configured."""
        self.cfg = cfg
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class ProblemWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A worker that answers in our form what cannot be read; whose words these are, a service's own says."""

    kinds: ClassVar[Mapping[StrEnum, Kind]]
    wsgi: Any = None
    """The app, once it is made: gunicorn tells of workers that end before that, too."""

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
            client.sendall(raw_answer(self.kinds[code], code, request_id))
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


def raw_answer(kind: Kind, code: StrEnum, request_id: str) -> bytes:
    """Return a whole HTTP/1.1 answer with the problem."""
    body = json.dumps(problem_document(kind, code, request_id)).encode()
    head = (
        f"HTTP/1.1 {kind.status.value} {kind.status.phrase}\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
