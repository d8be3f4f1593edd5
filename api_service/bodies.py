"""Reading a request's body strictly: JSON that says one thing only, of the shape asked for."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from flask import request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from api_service.errors import (
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

_WHOLE_BODY = "_schema"
"""Marshmallow's name for what is wrong with an object as a whole."""


def read_body(schema: Schema, *, may_be_empty: bool = False) -> Any:
    """Return what the schema makes of the request's body.

    Raises UnsupportedMediaTypeError, MalformedJsonError, ValidationFailedError, or Werkzeug's
    RequestEntityTooLarge.
    """
    body = request.get_data()
    if len(body) > LONGEST_BODY_BYTES:
        raise RequestEntityTooLarge
    if may_be_empty and not body:
        return schema.load({})
    if not _is_json():
        raise UnsupportedMediaTypeError
    try:
        return schema.load(parsed(body))
    except ValidationError as error:
        # Not as its cause: the values, passwords among them, are in it.
        raise ValidationFailedError(list(_faults(error.messages_dict))) from None


def _is_json() -> bool:
    """Tell whether the body is said to be JSON, and in no charset but the one that JSON has (RFC 8259 §8.1, §11)."""
    charset = request.mimetype_params.get("charset", "utf-8")
    return request.mimetype == "application/json" and charset.lower() == "utf-8"


def parsed(body: bytes) -> Any:
    """Return the JSON value, read strictly. Raises MalformedJsonError."""
    try:
        return strictly_parsed(body)
    except (ValueError, RecursionError):
        raise MalformedJsonError from None


def _faults(messages: dict[str, Any], within: str = "#") -> Iterator[Fault]:
    for name, codes in messages.items():
        if isinstance(codes, dict):
            yield from _faults(codes, f"{within}/{_escaped(name)}")
            continue
        for code in map(FaultCode, codes):
            # A client can name a field so, too, and is told that there is none.
            is_whole_object = name == _WHOLE_BODY and code is not FaultCode.UNKNOWN_FIELD
            yield Fault(within if is_whole_object else f"{within}/{_escaped(name)}", code)


def _escaped(name: str) -> str:
    """Write a name as part of a JSON pointer in a URI's fragment (RFC 6901 §3, §6)."""
    return quote(name.replace("~", "~0").replace("/", "~1"), safe="~")
