"""What a digest for operators is about: how many messages died or are late, and of what."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import escape

from outbox_relay.rendering.errors import RenderingError

MOST_CAUSES = 20
"""More make no digest; the rest is in the count."""

LONGEST_CAUSE = 120

_ROW = (
    '\r\n<tr><td align="right" valign="top" style="white-space:nowrap">{}</td>'
    '<td style="padding:0 0 8px 12px">{}</td></tr>'
)


def dead_count(payload: Mapping[str, Any]) -> int:
    """Return how many messages died or are late."""
    return _count(payload.get("dead"))


def causes_in_text(payload: Mapping[str, Any]) -> str:
    """Return a line for each cause, the lines ended as in a mail."""
    return "\r\n".join(f"{count:>7}  {cause}" for count, cause in _causes(payload))


def causes_in_html(payload: Mapping[str, Any]) -> str:
    """Return a table's row for each cause, on a line of its own."""
    return "".join(_ROW.format(count, escape(cause)) for count, cause in _causes(payload))


def _causes(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    causes = payload.get("causes")
    if not isinstance(causes, Sequence) or not causes:
        raise RenderingError("the payload names no causes")
    for cause in causes[:MOST_CAUSES]:
        if not isinstance(cause, Mapping) or not isinstance(cause.get("cause"), str):
            raise RenderingError("a cause is not made of words and a count")
        yield _shown(cause.get("count")), _on_one_line(cause["cause"])


def _on_one_line(words: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in words)
    return " ".join(printable.split())[:LONGEST_CAUSE]


def _shown(value: object) -> str:
    """Write a count; a cause that is about no message has none."""
    return "" if value is None else str(_count(value))


def _count(value: object) -> int:
    if not isinstance(value, int):
        raise RenderingError("a count is not a number")
    return value
