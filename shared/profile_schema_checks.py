"""Checks of the file PROFILE_SCHEMA that the draft's own schema does not make, and the marks of fields in it.

They accept a subset of JSON Schema that can be checked completely at the start: references within the file, and no
unknown keywords. A later error in the schema would fail a registration.
"""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias
from urllib.parse import unquote

Json: TypeAlias = dict[str, Any]
JsonPath: TypeAlias = tuple[str | int, ...]
"""The names and indexes that lead to a part of a document."""

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MARK = "x-signpost"
RESERVED_CLAIMS = frozenset(
    {
        *(
            "iss",
            "sub",
            "aud",
            "exp",
            "nbf",
            "iat",
            "jti",
            "sid",
            "typ",
            "azp",
            "nonce",
            "auth_time",
            "acr",
            "amr",
            "cnf",
        ),
        *("act", "may_act", "scope", "client_id", "events"),
        *("email", "email_verified", "phone_number", "phone_number_verified", "organization"),
    }
)
"""Claims that resource servers understand: those of RFC 7519, 8693 and 9068, and of OpenID Connect about addresses."""

# Keywords with subschemas. Those in place apply to the same value as their own schema.
_IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
_WITH_SCHEMA = frozenset(
    {
        *("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"),
        *("unevaluatedItems", "unevaluatedProperties"),
    }
)
_WITH_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_WITH_MAP = frozenset({"$defs", "dependentSchemas", "patternProperties", "properties"})
_PLAIN = frozenset(
    {
        *("$comment", "$ref", "const", "default", "dependentRequired", "deprecated", "description", "enum", "examples"),
        *("exclusiveMaximum", "exclusiveMinimum", "format", "maxContains", "maxItems", "maxLength", "maxProperties"),
        *("maximum", "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern"),
        *("readOnly", "required", "title", "type", "uniqueItems", "writeOnly"),
    }
)
_KNOWN = _WITH_SCHEMA | _WITH_LIST | _WITH_MAP | _PLAIN
IN_ROOT_ONLY = frozenset({"$id", "$schema"})


def errors_in(schema: Any) -> Iterator[tuple[JsonPath, str]]:
    """Yield errors that the draft's own schema does not find, each with its place."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield (), 'a profile is an object: "type": "object" is missing'
        return
    if schema.get("$schema", DRAFT) != DRAFT:
        yield ("$schema",), f"it is not {DRAFT}"
    parts = dict(_subschemas(schema, ()))
    for path, part in parts.items():
        for keyword in part if isinstance(part, dict) else ():
            if error := _error_of_keyword(keyword, path, part, parts):
                yield (*path, keyword), error
    edges = {path: set(_in_place(part, path)) & parts.keys() for path, part in parts.items()}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        yield error.args[1][0], "it refers to itself without an object or array between"


def _error_of_keyword(keyword: str, path: JsonPath, part: Json, parts: Mapping[JsonPath, Any]) -> str | None:
    error = None
    match keyword:
        case "$ref" if _target(part["$ref"]) not in parts:
            error = "a reference names a schema in this file, such as #/$defs/address"
        case "required" if not path:
            late = [name for name in part["required"] if "set_by" in mark_of(parts.get(("properties", name)))]
            error = f"operators set {late[0]!r} later, so a registration cannot have it" if late else None
        case _ if keyword == MARK:
            error = _error_of_mark(part[MARK], path)
        case _ if not (keyword in _KNOWN or keyword.startswith("x-") or (keyword in IN_ROOT_ONLY and not path)):
            error = "this keyword does not exist or is not supported"
    return error


def _error_of_mark(mark: Any, path: JsonPath) -> str | None:
    if len(path) != len(("properties", "name")) or path[0] != "properties":
        return "only the profile's own properties can be marked"
    known = {"claim": (True, False), "set_by": ("operators",)}
    if not isinstance(mark, dict) or any(value not in known.get(name, ()) for name, value in mark.items()):
        return 'it is not such as {"claim": true, "set_by": "operators"}'
    if mark.get("claim") and path[1] in RESERVED_CLAIMS:
        return f"the claim {path[1]!r} is reserved"
    return None


def mark_of(field: Any) -> Json:
    """Return the mark of a property."""
    mark: Json = field.get(MARK, {}) if isinstance(field, dict) else {}
    return mark


def _subschemas(schema: Any, path: JsonPath) -> Iterator[tuple[JsonPath, Any]]:
    """Yield the schema and all schemas within it, by their paths of strings."""
    yield path, schema
    for _, below, child in _children(schema, path):
        yield from _subschemas(child, below)


def _children(schema: Any, path: JsonPath) -> Iterator[tuple[str, JsonPath, Any]]:
    for keyword, value in schema.items() if isinstance(schema, dict) else ():
        if keyword in _WITH_SCHEMA:
            yield keyword, (*path, keyword), value
        elif keyword in _WITH_LIST:
            yield from ((keyword, (*path, keyword, str(index)), one) for index, one in enumerate(value))
        elif keyword in _WITH_MAP:
            yield from ((keyword, (*path, keyword, name), one) for name, one in value.items())


def _in_place(schema: Any, path: JsonPath) -> Iterator[JsonPath]:
    """Yield the paths of schemas that apply to the same value."""
    yield from (below for keyword, below, _ in _children(schema, path) if keyword in _IN_PLACE)
    if isinstance(schema, dict) and "$ref" in schema and (target := _target(schema["$ref"])) is not None:
        yield target


def _target(reference: str) -> JsonPath | None:
    """Return the path that a reference within the file names; None for any other reference."""
    if reference == "#":
        return ()
    if not reference.startswith("#/"):
        return None
    return tuple(name.replace("~1", "/").replace("~0", "~") for name in unquote(reference[2:]).split("/"))


def place_of(path: Iterable[str | int]) -> str:
    """Return a readable JSON pointer for an administrator."""
    return "".join(["#", *(f"/{str(name).replace('~', '~0').replace('/', '~1')}" for name in path)])
