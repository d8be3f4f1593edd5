"""JSON that says one thing only: what two readers could read differently is refused."""

import json
from typing import Any, NoReturn


def strictly_parsed(text: bytes) -> Any:
    """Return the JSON value. Raises ValueError or RecursionError.

    Refused are also names that occur twice and strings that are not Unicode (RFC 8259 §4, §8.2),
    numbers that are none (NaN), and what is nested or long enough to hurt a parser.
    """
    value = _decoder.decode(text.decode())
    if b"\\u" in text:  # nothing else spells half a surrogate pair, on which this fails
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name occurs twice")
    return value


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# Kept, for making one takes as long as reading a short body.
_decoder = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refused)
