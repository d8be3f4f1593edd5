"""The command line's output: tables on a terminal, or blocks if it is too narrow; JSON lines in a pipe."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

TIME_SUFFIXES = ("_at", "_seen", "since")
"""The names of times end so. A terminal shows them to the second; JSON has them in full."""
GAP = 2
ID_WIDTH = 36
"""Cells up to this width stay on one line, so that ids can be copied; a table folds wider ones."""


def writes_json(*, is_json: bool) -> bool:
    """Return whether to write JSON: on request, into a pipe, and if the output is closed (``>&-``)."""
    return is_json or sys.stdout is None or not sys.stdout.isatty()


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, is_json: bool) -> None:
    """Show rows; a terminal shows only the given columns."""
    if writes_json(is_json=is_json):
        for row in rows:
            click.echo(json.dumps(row))
        return
    cells = [{name: _cell(name, row[name]) for name in columns} for row in rows]
    if cells:
        _draw(cells, columns)
    else:
        click.echo("none")


def show_object(view: Mapping[str, Any], *, is_json: bool) -> None:
    """Show one object: a line for each value, and the entries of lists below their name."""
    click.echo(json.dumps(view) if is_json else "\n".join(_lines(view)))


def _cell(name: str, value: Any) -> str:
    """Return a value as text for people."""
    match value:
        case None:
            return ""
        case str() if name == "at" or name.endswith(TIME_SUFFIXES):
            return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        case list():
            return ", ".join(map(str, value))
        case dict():
            cells = {key.replace("_", " "): _cell(key, one) for key, one in value.items()}
            return ", ".join(f"{key} {cell}" for key, cell in cells.items() if cell)
        case _:
            return str(value)


def _lines(view: Mapping[str, Any]) -> list[str]:
    width = max(map(len, view)) + GAP
    lines = [f"{name:<{width}}{_cell(name, value)}".rstrip() for name, value in view.items() if not _has_entries(value)]
    for name, entries in view.items():
        if _has_entries(entries):
            lines.append(f"{name:<{width}}{len(entries)}")
            lines += [f"  {_named({key: _cell(key, value) for key, value in entry.items()})}" for entry in entries]
    return lines


def _has_entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _named(cells: Mapping[str, str]) -> str:
    """Return the non-empty cells on one line, each after its name."""
    return " · ".join(f"{name} {cell}" for name, cell in cells.items() if cell)


def _draw(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> None:
    """Draw a table if the terminal is wide enough, or a block for each row."""
    console = Console(highlight=False)
    widths = {name: max(cell_len(row[name]) for row in [*rows, {name: name}]) for name in columns}
    if sum(min(width, ID_WIDTH) + GAP for width in widths.values()) <= console.width:
        headers = [Column(name, no_wrap=width <= ID_WIDTH, overflow="fold") for name, width in widths.items()]
        table = Table(*headers, box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
        for row in rows:
            table.add_row(*map(Text, row.values()))  # as Text, because rich would interpret brackets in a reply
        console.print(table)
        return
    first, *others = columns
    for row in rows:
        console.print(Text(row[first], style="bold"), soft_wrap=True)  # on a separate line, for copying
        console.print(Padding(Text(_named({name: row[name] for name in others})), (0, 0, 0, GAP)))
