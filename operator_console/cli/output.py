"""How the command line shows things: a table to people, or blocks where it has no room; a line of JSON to programs."""

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

ID_WIDTH = 36
"""Of what is copied. Only what is wider, such as a provider's words, is folded in a table."""
GAP = 2
TIMES = ("_at", "_seen", "since")
"""How the names of moments end; people read these to the second, programs as they are."""
JOINED_BY = " · "


def is_for_programs(*, is_json: bool) -> bool:
    """Tell whether to write JSON: where it was asked for, and into a pipe."""
    return is_json or not sys.stdout.isatty()


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
    console = Console(highlight=False)
    widths = {name: max(cell_len(row[name]) for row in [*cells, {name: name}]) for name in columns}
    if sum(min(width, ID_WIDTH) + GAP for width in widths.values()) <= console.width:
        console.print(_table(cells, widths))
    else:
        for row in cells:
            _print_block(console, row, columns)


def show_lines(view: Mapping[str, Any], *, is_json: bool) -> None:
    """Show one thing: a line for each value, those of lists below their name."""
    click.echo(json.dumps(view) if is_json else "\n".join(_lines(view)))


def _table(rows: Iterable[Mapping[str, str]], widths: Mapping[str, int]) -> Table:
    columns = [Column(name, no_wrap=width <= ID_WIDTH, overflow="fold") for name, width in widths.items()]
    table = Table(*columns, box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for row in rows:
        # As text: a provider's words in brackets are none of rich's marks.
        table.add_row(*map(Text, row.values()))
    return table


def _print_block(console: Console, row: Mapping[str, str], columns: Sequence[str]) -> None:
    """Print the first value whole on a line of its own, since it is what one copies, and the others below it."""
    first, *others = columns
    console.print(Text(row[first], style="bold"), soft_wrap=True)
    console.print(Padding(Text(_named({name: row[name] for name in others})), (0, 0, 0, GAP)))


def _named(cells: Mapping[str, str]) -> str:
    """Write what there is, each value behind its name."""
    return JOINED_BY.join(f"{name} {cell}" for name, cell in cells.items() if cell)


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
            lines += [f"  {_named({key: _cell(key, value) for key, value in entry.items()})}" for entry in entries]
    return lines


def _has_entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
