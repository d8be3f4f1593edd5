"""Reading a request's body strictly: JSON that says one thing only, of the shape asked for."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from flask import request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from shared.strict_json import strictly_parsed
from shared.web.refusals import (
    NO_SUCH_FIELD,
    Fault,
    MalformedJsonError,
    UnsupportedMediaTypeError,
    ValidationFailedError,
)

LONGEST_BODY_BYTES = 16 * 1024
MOST_BYTES_READ = LONGEST_BODY_BYTES + 1
"""One more, so as to see it: Werkzeug cuts a chunked body off at its limit without a word."""

WHOLE_DOCUMENT = "#"
"""Where the pointers into JSON begin (RFC 6901 §6)."""
_WHOLE_OBJECT = "_schema"
"""Marshmallow's name for what is wrong with an object as a whole."""


def read_body(schema: Schema, *, may_be_empty: bool = False) -> Any:
    """Return what the schema makes of the request's JSON.

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
    return loaded(schema, _parsed(body), within=WHOLE_DOCUMENT)


def loaded(schema: Schema, values: Any, *, within: str = "") -> Any:
    """Return what the schema makes of the values. Raises ValidationFailedError, each fault at its pointer."""
    try:
        return schema.load(values)
    except ValidationError as error:
        # Not as its cause: the values, passwords and addresses among them, are in it.
        raise ValidationFailedError(list(_faults(error.messages_dict, within))) from None


def _is_json() -> bool:
    """Tell whether the body is said to be JSON, not packed, and in no charset but JSON's (RFC 8259 §8.1, §11)."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return False  # unpacking would let a small body become a large one (RFC 9110 §8.4)
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        return False  # nor is what was packed on the way (RFC 9112 §6.1)
    charset = request.mimetype_params.get("charset", "utf-8")
    return request.mimetype == "application/json" and charset.lower() == "utf-8"


def _parsed(body: bytes) -> Any:
    try:
        return strictly_parsed(body)
    except (ValueError, RecursionError):
        raise MalformedJsonError from None


def _faults(messages: dict[str, Any], within: str) -> Iterator[Fault]:
    """Walk what marshmallow found: lists of codes at the names of fields, which may be fields of objects."""
    for name, codes in messages.items():
        if isinstance(codes, dict):
            yield from _faults(codes, _pointer(within, name))
            continue
        for code in codes:
            # A client can name a field so, too, and is told that there is none.
            is_whole_object = name == _WHOLE_OBJECT and code != NO_SUCH_FIELD
            yield Fault(within or WHOLE_DOCUMENT if is_whole_object else _pointer(within, name), code)


def _pointer(within: str, name: str) -> str:
    """Write a JSON pointer as a URI's fragment (RFC 6901 §3, §6); what is no JSON has names only."""
    if not within:
        return name
    return f"{within}/{quote(name.replace('~', '~0').replace('/', '~1'), safe='~')}"
