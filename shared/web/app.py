"""Flask with Signpost's routing and logging."""

from typing import Any

from flask import Flask, Request, Response, g
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import DBAPIError
from werkzeug.routing import Map, MapAdapter

from shared.db.errors import describe
from shared.log import get_logger

UNROUTED_PATH = "/ "
"""A path that matches no route."""

log = get_logger("web.app")


class ExactMap(Map):
    """A map without Werkzeug's redirect for doubled slashes, whose target contains the client's Host header."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"merge_slashes": False}))


class WebApp(Flask):
    """Flask with JSON logs. Protocol errors go to the server."""

    url_map_class = ExactMap

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that finds the route; //docs finds no route, although Werkzeug treats it like /docs.

        Otherwise it could bypass a proxy's rule for /docs.
        """
        adapter = super().create_url_adapter(request)
        if adapter and request and request.environ["PATH_INFO"].startswith("//"):
            adapter.path_info = UNROUTED_PATH
        return adapter

    def handle_exception(self, e: Exception) -> Response:
        """Respond to an unexpected error, but leave protocol errors to the server, which closes the connection."""
        if isinstance(e, ParseException):
            raise e
        return super().handle_exception(e)

    def log_exception(self, exc_info: Any) -> None:
        """Log an unexpected error by its class and trace. Flask's own message would quote the path."""
        error = exc_info[1]
        details = describe(error) if isinstance(error, DBAPIError) else {}
        log.error("request failed", request_id=g.get("request_id"), exc_info=exc_info, **details)
