"""Parse JSON strictly: a document that two parsers could read differently is rejected."""

import json
from typing import Any, NoReturn


def parse_json(document: bytes) -> Any:
    """Return the value of JSON in UTF-8. Raises ValueError, or RecursionError if it is nested too deeply.

    Also rejects duplicate names and strings that are not Unicode (RFC 8259 §4, §8.2), and NaN and infinity.
    """
    value = _decoder.decode(document.decode())
    if b"\\u" in document:  # only an escape can be half a surrogate pair, which cannot be encoded
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name occurs twice")
    return value


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# Created once: this takes as long as parsing a short body.
_decoder = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_reject_constant)
