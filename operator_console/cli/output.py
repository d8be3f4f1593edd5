"""How the command line shows things: a table to people, a line of JSON each to programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

ID_WIDTH = 36


def is_for_programs(*, is_json: bool) -> bool:
    """Tell whether to write JSON: where it was asked for, and into a pipe."""
    return is_json or not sys.stdout.isatty()


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, is_json: bool) -> None:
    """Show some rows, of which people see those columns, the first whole."""
    if is_for_programs(is_json=is_json):
        for row in rows:
            click.echo(json.dumps(row))
    else:
        Console().print(_table(rows, columns))


def show_lines(view: Mapping[str, Any], *, is_json: bool) -> None:
    """Show one thing: a line for each value, those of lists below their name."""
    click.echo(json.dumps(view) if is_json else "\n".join(_lines(view)))


def _table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    # The first is what one copies: whatever else a narrow terminal folds, it stays whole.
    first = Column(columns[0], no_wrap=True, min_width=ID_WIDTH if columns[0] == "id" else None)
    table = Table(first, *columns[1:], box=None, header_style="bold")
    for row in rows:
        # As text: a provider's words in brackets are none of rich's marks.
        table.add_row(*(Text("" if row[column] is None else str(row[column])) for column in columns))
    return table


def _lines(view: Mapping[str, Any]) -> list[str]:
    width = max(map(len, view)) + 2
    lines = [f"{name:<{width}}{value}" for name, value in view.items() if not isinstance(value, list)]
    for name, entries in view.items():
        if isinstance(entries, list):
            lines.append(f"{name:<{width}}{len(entries)}")
            lines += [f"  {json.dumps(entry)}" for entry in entries]
    return lines
