"""The document as a whole: walks the app's routes, and lets apispec make JSON Schema of marshmallow's."""

import re
from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from marshmallow import Schema
from werkzeug.routing import Rule

from api_service.describing import Tag, description_of
from api_service.errors import CODES
from api_service.openapi.components import HEADERS, PARAMETERS, SECURITY_SCHEMES, Json, example_of
from api_service.openapi.operations import operation_of, refusal_of

OPENAPI = "3.1.0"
BY_ITSELF = {"HEAD", "OPTIONS"}
"""Methods that every address has, and nobody wrote."""
INTRODUCTION = """\
JSON in and out; unknown fields are refused, and so are bodies over 16 KiB. `X-Request-Id` is echoed, or made.

What is refused is answered as `application/problem+json` (RFC 9457) with a stable `code`. An unknown address is
404 `not_found`, another method 405 `method_not_allowed` with `Allow`.
"""


class Converter(OpenAPIConverter):
    """Apispec's, with what our schemas say of fields that go together."""

    def schema2jsonschema(self, schema: Any) -> Json:
        """Return the JSON Schema of a marshmallow schema."""
        made: Json = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]  # apispec has no types there
        about = {"description": type(schema).__doc__} if type(schema).__doc__ else {}
        return made | about | getattr(schema, "forms", {})


class Plugin(MarshmallowPlugin):
    """Apispec's, with our converter."""

    Converter = Converter


def document_of(app: Flask) -> Json:
    """Return the document of all routes of the app that were described."""
    spec = APISpec(
        title="Signpost",
        version=version("signpost"),
        openapi_version=OPENAPI,
        info={"description": INTRODUCTION},
        plugins=[Plugin(schema_name_resolver=_name_of)],
        tags=[{"name": tag.value} for tag in Tag],
    )
    _add_components(spec)
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if description := description_of(view):
            operation = operation_of(rule, view, description)
            spec.path(path_of(rule), operations={method.lower(): operation for method in methods_of(rule)})
    return dict(spec.to_dict())


def path_of(rule: Rule) -> str:
    """Return the route's address with its parameters as OpenAPI writes them."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def methods_of(rule: Rule) -> list[str]:
    """Return the methods that somebody wrote."""
    return sorted((rule.methods or set()) - BY_ITSELF)


def _add_components(spec: APISpec) -> None:
    for name, header in HEADERS.items():
        spec.components.header(name, header)
    for name, parameter in PARAMETERS.items():
        spec.components.parameter(name, parameter["in"], {key: parameter[key] for key in parameter if key != "in"})
    for name, scheme in SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for code in CODES:
        spec.components.example(code.value, example_of(code))
        spec.components.response(code.value, refusal_of([code]))


def _name_of(schema: type[Schema] | Schema | str) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")
