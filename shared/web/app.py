"""Flask as we use it."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response, g
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import DBAPIError
from werkzeug.routing import Map, MapAdapter

from shared.db.errors import describe
from shared.log import get_logger

NOWHERE = "/ "
"""A path that no route has."""

log = get_logger("web.app")


class ExactMap(Map):
    """Routes that are found by their path alone: werkzeug sends a doubled slash on, to the Host that a client names."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"merge_slashes": False}))


class WebApp(Flask):
    """Flask, except that it logs as we do, leaves what is no HTTP to the server, and looks for no coroutines."""

    url_map_class = ExactMap

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: none of ours is a coroutine, and Flask asks of each of them at each request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the request's route: none for //metrics, which werkzeug takes for /metrics.

        A proxy that keeps a path from the world need not, and would let it through.
        """
        adapter = super().create_url_adapter(request)
        if adapter and request and request.environ["PATH_INFO"].startswith("//"):
            adapter.path_info = NOWHERE
        return adapter

    def handle_exception(self, e: Exception) -> Response:
        """Answer what nobody expected; but raise what is no HTTP, for only the server can hang up as well."""
        if isinstance(e, ParseException):
            raise e
        return super().handle_exception(e)

    def log_exception(self, exc_info: Any) -> None:
        """Log what nobody expected, by its class and the lines it passed; Flask would quote the path."""
        error = exc_info[1]
        details = describe(error) if isinstance(error, DBAPIError) else {}
        log.error("request failed", request_id=g.get("request_id"), exc_info=exc_info, **details)
