"""What a route says of itself, beside the route; ``openapi`` makes the document of it.

Decorators that change what a route needs mark it, so that nobody has to say it twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeVar

from marshmallow import Schema

from api_service.errors import AnyCode

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
HTML = "text/html"
COUNTED = ("RateLimit", "RateLimit-Policy")
WAITED = ("Preference-Applied",)

View = TypeVar("View", bound=Callable[..., Any])


class Tag(StrEnum):
    """The chapters of the document."""

    REGISTRATIONS = "Registrations"
    SESSIONS = "Sessions"
    PASSWORDS = "Forgotten passwords"
    USER = "The signed-in user"
    PAGES = "Pages"
    OPERATIONS = "Operations"


class Mark(StrEnum):
    """What a decorator adds to a route."""

    FOR_USERS = "for users"
    IDEMPOTENT = "idempotent"


@dataclass(frozen=True)
class Answer:
    """What is answered unless something is refused; the names of headers are the document's."""

    meaning: str
    schema: type[Schema] | None = None
    media_type: str = JSON
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Body:
    """What a request may bring."""

    schema: Callable[[], Schema]
    is_required: bool = True
    media_type: str = JSON


@dataclass(frozen=True)
class Description:
    """What a route answers and refuses. What follows from its body and its marks goes without saying."""

    tag: Tag
    answers: Mapping[HTTPStatus, Answer]
    body: Body | None = None
    refusals: tuple[AnyCode, ...] = ()
    parameters: tuple[str, ...] = ()
    needs_database: bool = field(default=True, kw_only=True)


def described(description: Description) -> Callable[[View], View]:
    """Have the route described so. The first of the decorators below the route's own."""

    def keep(view: View) -> View:
        vars(view)["description"] = description
        return view

    return keep


def marked(view: View, mark: Mark) -> View:
    """Mark a view; whatever wraps it hands that on (``functools.wraps``)."""
    vars(view)["marks"] = marks_of(view) | {mark}
    return view


def description_of(view: Callable[..., Any]) -> Description | None:
    """Return what the view was described as."""
    found: Description | None = vars(view).get("description")
    return found


def marks_of(view: Callable[..., Any]) -> frozenset[Mark]:
    """Return how the view is marked."""
    found: frozenset[Mark] = vars(view).get("marks", frozenset())
    return found
