"""What an object of the document looks like: its fields, and an example put together from theirs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from api_service.describing import FORM
from api_service.openapi.components import Json


@dataclass(frozen=True)
class Field:
    """One member of an object; those of objects within have names with a dot."""

    name: str
    kind: str
    is_required: bool
    meaning: str


@dataclass(frozen=True)
class Shape:
    """An object, what is said of it, its fields, and an example in JSON."""

    media_type: str
    meaning: str
    fields: list[Field]
    example: str


def resolved(document: Json, part: Json) -> Json:
    """Return what a reference within the document leads to, or the part itself."""
    while "$ref" in part:
        place: Any = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        part = place
    return part


def shape_of(document: Json, schema: Json, media_type: str) -> Shape:
    """Return how a schema is shown."""
    target = resolved(document, schema)
    meaning = f"{target.get('description', '')} {_forms(target)}".strip()
    example = example_of(document, target)
    written = urlencode(example) if media_type == FORM else json.dumps(example, indent=2, ensure_ascii=False)
    return Shape(media_type, meaning, list(_fields(document, target)), written)


def example_of(document: Json, schema: Json) -> Any:
    """Return an example: the schema's own, or an object put together from those of its members."""
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
    """Return the members of an example: all of an answer; of a body what the first of its forms needs."""
    if schema.get("additionalProperties") is not False:
        return {*schema.get("properties", ())}
    first_form, *_ = schema.get("oneOf") or schema.get("anyOf") or [{}]
    return {*schema.get("required", ()), *first_form.get("required", ())}


def _forms(schema: Json) -> str:
    """Say which fields go together, if there are several ways."""
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
    """Write the type in a few words: what it is, its words or form, and its bounds."""
    kinds = schema.get("type", "any")
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if words := [word for word in schema.get("enum", ()) if word is not None]:
        kind = " · ".join(words) + (" or null" if None in schema["enum"] else "")
    elif "format" in schema:
        kind = kind.replace("string", schema["format"])
    if "minLength" in schema:
        kind += f", {schema['minLength']} to {schema['maxLength']} characters"
    return kind
