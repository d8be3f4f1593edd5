"""How the command line shows things: a table to people, or blocks where it has no room; a line of JSON to programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from operator_console.cli.named import GAP, named

TIMES = ("_at", "_seen", "since")
"""How the names of moments end; people read these to the second, programs as they are."""


def is_for_programs(*, is_json: bool) -> bool:
    """Tell whether to write JSON: where it was asked for, into a pipe, and where nobody can see it (``>&-``)."""
    return is_json or sys.stdout is None or not sys.stdout.isatty()


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, is_json: bool) -> None:
    """Show some rows, of which people see those columns."""
    if is_for_programs(is_json=is_json):
        for row in rows:
            click.echo(json.dumps(row))
        return
    cells = [{name: _cell(name, row[name]) for name in columns} for row in rows]
    if not cells:
        click.echo("none")
        return
    from operator_console.cli.tables import draw  # noqa: PLC0415 - programs are answered faster without rich

    draw(cells, columns)


def show_lines(view: Mapping[str, Any], *, is_json: bool) -> None:
    """Show one thing: a line for each value, those of lists below their name."""
    click.echo(json.dumps(view) if is_json else "\n".join(_lines(view)))


def _cell(name: str, value: Any) -> str:
    """Return a value of a view as people read it; nothing as nothing."""
    match value:
        case None:
            return ""
        case str() if name == "at" or name.endswith(TIMES):
            return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return json.dumps(value, ensure_ascii=False) if value else ""
        case _:
            return str(value)


def _lines(view: Mapping[str, Any]) -> list[str]:
    width = max(map(len, view)) + GAP
    lines = [f"{name:<{width}}{_cell(name, value)}".rstrip() for name, value in view.items() if not _has_entries(value)]
    for name, entries in view.items():
        if _has_entries(entries):
            lines.append(f"{name:<{width}}{len(entries)}")
            lines += [f"  {named({key: _cell(key, value) for key, value in entry.items()})}" for entry in entries]
    return lines


def _has_entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
