"""Reading what a script sends strictly: JSON that says one thing only, of the shape asked for."""

from collections.abc import Iterator
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from operator_console.web.errors import (
    Fault,
    FaultCode,
    MalformedJsonError,
    UnsupportedMediaTypeError,
    ValidationFailedError,
)
from shared.strict_json import strictly_parsed

LONGEST_BODY_BYTES = 16 * 1024
MOST_BYTES_READ = LONGEST_BODY_BYTES + 1
"""One more, so as to see it: Werkzeug cuts a chunked body off at its limit without a word."""


def read_body(schema: Schema) -> Any:
    """Return what the schema makes of the request's JSON.

    Raises UnsupportedMediaTypeError, MalformedJsonError, ValidationFailedError, or Werkzeug's RequestEntityTooLarge.
    """
    body = request.get_data()
    if len(body) > LONGEST_BODY_BYTES:
        raise RequestEntityTooLarge
    charset = request.mimetype_params.get("charset", "utf-8")
    if request.mimetype != "application/json" or charset.lower() != "utf-8":
        raise UnsupportedMediaTypeError
    return loaded(schema, _parsed(body), prefix="#/")


def read_query(schema: Schema) -> Any:
    """Return what the schema makes of the query; a field that stands there twice is refused."""
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise ValidationFailedError([Fault(name, FaultCode.INVALID_TYPE) for name in twice])
    return loaded(schema, request.args.to_dict(), prefix="")


def loaded(schema: Schema, values: Any, *, prefix: str) -> Any:
    """Return what the schema makes of the values. Raises ValidationFailedError, each fault at its pointer."""
    try:
        return schema.load(values)
    except ValidationError as error:
        # Not as its cause: the values, addresses among them, are in it.
        raise ValidationFailedError(list(_faults(error.messages, prefix))) from None


def _parsed(body: bytes) -> Any:
    try:
        return strictly_parsed(body)
    except (ValueError, RecursionError):
        raise MalformedJsonError from None


def _faults(messages: Any, pointer: str) -> Iterator[Fault]:
    """Walk what marshmallow found: lists of codes, at the names of fields, within those of objects."""
    if isinstance(messages, list):
        for code in messages:
            yield Fault(pointer.rstrip("/") or "#", FaultCode(code))
        return
    for name, below in messages.items():
        is_whole = name == "_schema" and FaultCode.UNKNOWN_FIELD not in below
        at = pointer if is_whole else f"{pointer}{name}/" if pointer else name
        yield from _faults(below, at)
