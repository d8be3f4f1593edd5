"""The document as a page for people: all of it in one, with neither script nor anything from elsewhere."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import render_template
from markupsafe import Markup, escape

from api_service.openapi.components import Json
from api_service.openapi.shapes import Shape, resolved, shape_of
from api_service.pages import safe_headers, style_named
from shared.web.kinds import MEDIA_TYPE

STYLE = style_named("docs")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Page:
    """A page and what goes with it."""

    html: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """One status that an operation answers with; refusals by their codes, anything else by its shape."""

    status: HTTPStatus
    meaning: str
    is_refusal: bool
    codes: list[str]
    headers: list[str]
    shape: Shape | None


@dataclass(frozen=True)
class Operation:
    """One operation, ready to be shown."""

    method: str
    path: str
    id: str
    summary: str
    description: str
    needs_user: bool
    parameters: list[Json]
    body: Shape | None
    replies: list[Reply]


def page_of(document: Json) -> Page:
    """Return the page that shows the document."""
    html = render_template(
        "docs.html",
        info=document["info"],
        chapters=chapters_of(document),
        problems=[example["value"] for example in document["components"]["examples"].values()],
        security=document["components"]["securitySchemes"],
        style=STYLE,
        marked_up=marked_up,
    )
    return Page(html, safe_headers(STYLE))


def chapters_of(document: Json) -> list[tuple[str, list[Operation]]]:
    """Return the operations of each tag, in the document's order."""
    operations = list(_operations(document))
    return [
        (tag["name"], [operation for name, operation in operations if name == tag["name"]]) for tag in document["tags"]
    ]


def marked_up(text: str) -> Markup:
    """Write what stands in backticks as code; nothing else of a text is markup."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


def _operations(document: Json) -> Iterator[tuple[str, Operation]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield operation["tags"][0], _operation(document, method, path, operation)


def _operation(document: Json, method: str, path: str, operation: Json) -> Operation:
    return Operation(
        method=method.upper(),
        path=path,
        id=operation["operationId"],
        summary=operation["summary"],
        description=operation.get("description", ""),
        needs_user=bool(operation["security"]),
        parameters=[resolved(document, parameter) for parameter in operation.get("parameters", [])],
        body=_content_shape(document, operation.get("requestBody", {})),
        replies=[
            _reply(document, int(status), resolved(document, reply)) for status, reply in operation["responses"].items()
        ],
    )


def _reply(document: Json, status: int, reply: Json) -> Reply:
    content: dict[str, Any] = reply.get("content", {})
    problems: dict[str, Any] = content.get(MEDIA_TYPE, {})
    return Reply(
        status=HTTPStatus(status),
        meaning=reply["description"].partition("\n")[0],
        is_refusal=content.keys() == {MEDIA_TYPE},
        codes=list(problems.get("examples", {})),
        headers=[name for name in reply["headers"] if name != "X-Request-Id"],
        shape=_content_shape(document, reply),
    )


def _content_shape(document: Json, holder: Json) -> Shape | None:
    """Return what a body looks like, if it is a JSON object of its own or a form."""
    for media_type, content in holder.get("content", {}).items():
        if media_type != MEDIA_TYPE and "$ref" in content["schema"]:
            return shape_of(document, content["schema"], media_type)
    return None
