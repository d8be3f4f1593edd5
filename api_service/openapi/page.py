"""Render the OpenAPI document as one HTML page without scripts or external resources."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from flask import render_template
from markupsafe import Markup, escape

from api_service.http.annotations import FORM
from api_service.http.security_headers import safe_headers, style_named
from api_service.openapi.document import Json
from shared.web.problems import MEDIA_TYPE

STYLE = style_named("docs")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Field:
    """A member of an object; members of nested objects have dotted names."""

    name: str
    kind: str
    is_required: bool
    meaning: str


@dataclass(frozen=True)
class Shape:
    """An object: its fields, and an example in JSON."""

    media_type: str
    meaning: str
    fields: list[Field]
    example: str


@dataclass(frozen=True)
class Page:
    """A page and its headers."""

    html: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class ResponseView:
    """One status of an operation: problems have codes, successful responses a shape."""

    status: HTTPStatus
    meaning: str
    is_problem: bool
    codes: list[str]
    headers: list[str]
    shape: Shape | None


@dataclass(frozen=True)
class Operation:
    """One operation, ready for the template."""

    method: str
    path: str
    id: str
    summary: str
    description: str
    needs_user: bool
    parameters: list[Json]
    body: Shape | None
    responses: list[ResponseView]


def page_of(document: Json) -> Page:
    """Return the page for the document."""
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
    """Render text in backticks as code, and escape everything else."""
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
        responses=[
            _response_view(document, int(status), resolved(document, response))
            for status, response in operation["responses"].items()
        ],
    )


def _response_view(document: Json, status: int, response: Json) -> ResponseView:
    content: dict[str, Any] = response.get("content", {})
    problems: dict[str, Any] = content.get(MEDIA_TYPE, {})
    return ResponseView(
        status=HTTPStatus(status),
        meaning=response["description"].partition("\n")[0],
        is_problem=content.keys() == {MEDIA_TYPE},
        codes=list(problems.get("examples", {})),
        headers=[name for name in response["headers"] if name != "X-Request-Id"],
        shape=_content_shape(document, response),
    )


def _content_shape(document: Json, holder: Json) -> Shape | None:
    """Return the shape of a body that is a JSON object or a form."""
    for media_type, content in holder.get("content", {}).items():
        if media_type != MEDIA_TYPE and "$ref" in content["schema"]:
            return shape_of(document, content["schema"], media_type)
    return None


def resolved(document: Json, part: Json) -> Json:
    """Return the target of a reference within the document, or the part itself."""
    while "$ref" in part:
        place: Any = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        part = place
    return part


def shape_of(document: Json, schema: Json, media_type: str) -> Shape:
    """Return the shape of a schema."""
    target = resolved(document, schema)
    meaning = f"{target.get('description', '')} {_forms(target)}".strip()
    example = example_of(document, target)
    written = urlencode(example) if media_type == FORM else json.dumps(example, indent=2, ensure_ascii=False)
    return Shape(media_type, meaning, list(_fields(document, target)), written)


def example_of(document: Json, schema: Json) -> Any:
    """Return the schema's own example, or one composed from its members."""
    schema = resolved(document, schema)
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if "items" in schema:
        return [example_of(document, schema["items"])]
    if schema.get("type") == "string":
        return "…"
    shown = _shown(schema)
    return {name: example_of(document, each) for name, each in schema.get("properties", {}).items() if name in shown}


def _shown(schema: Json) -> set[str]:
    """Return the members of an example: all of a response, or the required ones of a request's first form."""
    if schema.get("additionalProperties") is not False:
        return {*schema.get("properties", ())}
    first_form, *_ = schema.get("oneOf") or schema.get("anyOf") or [{}]
    return {*schema.get("required", ()), *first_form.get("required", ())}


def _forms(schema: Json) -> str:
    """Describe which fields go together, if there are alternatives."""
    link = "either " if "oneOf" in schema else ""
    forms = schema.get("oneOf") or schema.get("anyOf") or []
    ways = " or ".join(" and ".join(f"`{name}`" for name in form["required"]) for form in forms)
    return f"With {link}{ways}." if ways else ""


def _fields(document: Json, schema: Json, prefix: str = "") -> Iterator[Field]:
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        target = resolved(document, each)
        yield Field(prefix + name, _kind(target), name in required, target.get("description", ""))
        inner = resolved(document, target.get("items", target))
        if "properties" in inner:
            yield from _fields(document, inner, f"{prefix}{name}{'[]' * ('items' in target)}.")


def _kind(schema: Json) -> str:
    """Describe a type briefly: its name, values or format, and bounds."""
    kinds = schema.get("type", "any")
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if values := [word for word in schema.get("enum", ()) if word is not None]:
        kind = " · ".join(values) + (" or null" if None in schema["enum"] else "")
    elif "format" in schema:
        kind = kind.replace("string", schema["format"])
    if "minLength" in schema:
        kind += f", {schema['minLength']} to {schema['maxLength']} characters"
    return kind
