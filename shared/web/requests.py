"""Parse requests strictly: bearer tokens (RFC 6750), and bodies, of which ambiguous JSON is rejected."""

from collections.abc import Iterator
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from shared.strict_json import parse_json
from shared.web.problems import (
    NO_SUCH_FIELD,
    MalformedJsonError,
    TokenRequiredError,
    UnsupportedMediaTypeError,
    ValidationFailedError,
    Violation,
    child_pointer,
)

LONGEST_BODY_BYTES = 16 * 1024
MOST_BYTES_READ = LONGEST_BODY_BYTES + 1
"""One more than allowed: Werkzeug truncates a chunked body at its limit, which would go unnoticed."""

BEARER = "bearer"
WHOLE_DOCUMENT = "#"
"""JSON pointer to the document as a whole (RFC 6901 §6)."""
_WHOLE_OBJECT = "_schema"
"""Marshmallow's key for errors of an object as a whole."""


def bearer_token(authorization: str) -> str:
    """Return the token in an Authorization header (RFC 6750 §2.1). Raises TokenRequiredError."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != BEARER or not token.strip():
        raise TokenRequiredError
    return token.strip()


def read_body(schema: Schema, *, may_be_empty: bool = False) -> Any:
    """Load the request's JSON with the schema.

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
    """Load the values with the schema. Raises ValidationFailedError with a pointer for each violation."""
    try:
        return schema.load(values)
    except ValidationError as error:
        # Without its cause, which contains the values, such as passwords and addresses.
        raise ValidationFailedError(list(_violations(error.messages_dict, within))) from None


def _is_json() -> bool:
    """Return whether the headers declare uncompressed JSON in UTF-8 (RFC 8259 §8.1, §11)."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return False  # decompression could make a small body large (RFC 9110 §8.4)
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        return False  # the same for compressed transfer codings (RFC 9112 §6.1)
    charset = request.mimetype_params.get("charset", "utf-8")
    return request.mimetype == "application/json" and charset.lower() == "utf-8"


def _parsed(body: bytes) -> Any:
    """Parse JSON. Raises MalformedJsonError, also for values whose depth or length could harm a parser."""
    try:
        return parse_json(body)
    except (ValueError, RecursionError):
        raise MalformedJsonError from None


def _violations(messages: dict[str, Any], within: str) -> Iterator[Violation]:
    """Flatten marshmallow's messages: lists of codes or violations by field name, nested for objects."""
    for name, codes in messages.items():
        if isinstance(codes, dict):
            yield from _violations(codes, _pointer(within, name))
            continue
        for code in codes:
            if isinstance(code, Violation):
                yield Violation(_pointer(within, name) + code.pointer, code.code)
                continue
            # A client can also send a field of this name, which is an unknown field.
            is_whole_object = name == _WHOLE_OBJECT and code != NO_SUCH_FIELD
            yield Violation(within or WHOLE_DOCUMENT if is_whole_object else _pointer(within, name), code)


def _pointer(within: str, name: str) -> str:
    """Return a JSON pointer as a URI fragment (RFC 6901 §3, §6), or the plain name outside JSON."""
    return child_pointer(within, name) if within else name
