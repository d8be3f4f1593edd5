"""OpenAPI annotations of routes, from which ``openapi`` builds the document.

Decorators that change the interface of a route mark it, so the annotations need not repeat that.
"""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeVar

from marshmallow import Schema

from api_service.errors import AnyCode

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
HTML = "text/html"
RATE_LIMIT_HEADERS = ("RateLimit", "RateLimit-Policy")
WAIT_HEADERS = ("Preference-Applied",)

View = TypeVar("View", bound=Callable[..., Any])


class Tag(StrEnum):
    """The groups of operations."""

    REGISTRATIONS = "Registrations"
    SESSIONS = "Sessions"
    PASSWORDS = "Forgotten passwords"
    USER = "The signed-in user"
    ORGANIZATIONS = "Organizations"
    PAGES = "Pages"


class Mark(StrEnum):
    """A property that a decorator adds to a route."""

    AUTHENTICATED = "for users"
    ACTIVATED = "for activated users"
    IDEMPOTENT = "idempotent"


@dataclass(frozen=True)
class ResponseDoc:
    """A successful response. ``headers`` names headers of the document's components."""

    meaning: str
    schema: type[Schema] | None = None
    media_type: str = JSON
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequestDoc:
    """A request body."""

    schema: Callable[[], Schema]
    is_required: bool = True
    media_type: str = JSON


@dataclass(frozen=True)
class OperationDoc:
    """The responses and problems of a route. Those that follow from its body and marks are added automatically.

    It is a decorator. Put it directly below the route's own decorator.
    """

    tag: Tag
    responses: Mapping[HTTPStatus, ResponseDoc]
    _: KW_ONLY
    body: RequestDoc | None = None
    problems: tuple[AnyCode, ...] = ()
    parameters: tuple[str, ...] = ()
    needs_database: bool = True

    def __call__(self, view: View) -> View:
        """Annotate the route."""
        vars(view)["operation_doc"] = self
        return view


def add_mark(view: View, mark: Mark) -> View:
    """Mark a view; ``functools.wraps`` passes the mark to wrappers."""
    vars(view)["marks"] = marks_of(view) | {mark}
    return view


def operation_doc_of(view: Callable[..., Any]) -> OperationDoc | None:
    """Return the view's annotation."""
    found: OperationDoc | None = vars(view).get("operation_doc")
    return found


def marks_of(view: Callable[..., Any]) -> frozenset[Mark]:
    """Return the view's marks."""
    found: frozenset[Mark] = vars(view).get("marks", frozenset())
    return found
