"""Flask as we use it."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, g
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, MapAdapter

from shared.database import describe
from shared.log import get_logger

log = get_logger("web.app")


class ExactMap(Map):
    """Routes that are found by their path alone: werkzeug sends a doubled slash on, to the Host that a client names."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"merge_slashes": False}))


class WebApp(Flask):
    """Flask, except that it logs as we do, and calls what it is given without asking whether that is a coroutine."""

    url_map_class = ExactMap

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: none of ours is a coroutine, and Flask asks of each of them at each request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the request's route. Raises NotFound: werkzeug takes //metrics for /metrics.

        A proxy that keeps a path from the world need not, and would let it through.
        """
        if request and request.environ["PATH_INFO"].startswith("//"):
            raise NotFound
        return super().create_url_adapter(request)

    def log_exception(self, exc_info: Any) -> None:
        """Log what nobody expected, by its class and the lines it passed; Flask would quote the path."""
        error = exc_info[1]
        details = describe(error) if isinstance(error, DBAPIError) else {}
        log.error("request failed", request_id=g.get("request_id"), exc_info=exc_info, **details)
